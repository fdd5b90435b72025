"""Looks at the chosen scans in the background, and marks the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.checks import AMBER, GREEN, RED, Finding, gravest, of_severity
from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.models import Expectations
from FactorizerSegmentationLib.panels.channel_selectors import ChannelSelectors
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import stateOf
from FactorizerSegmentationLib.tasks.check import CheckRun
from FactorizerSegmentationLib.tasks.run import RunSettings

DELAY_MS = 300
"""How long the choice has to stay as it is before it is looked at."""


class InputChecks:
    """What the engine finds odd about the scans that are chosen now.

    A model that does not say what it expects is not checked, and nothing is installed for a check.

    Args:
        logic: The FactorizerSegmentationLogic.
        channels: The rows that are marked.
        label: Shows the sentences that are about several rows.
        settings: Gives what would be run now, or None.
        onChanged: Called when the findings have changed.
    """

    def __init__(
        self,
        logic,
        channels: ChannelSelectors,
        label,
        settings: Callable[[], RunSettings | None],
        onChanged: Callable[[], None],
    ) -> None:
        self._logic = logic
        self._channels = channels
        self._label = label
        self._settings = settings
        self._onChanged = onChanged
        self._asked: tuple = ()
        self._confirmed: tuple | None = None
        self._findings: tuple[Finding, ...] | None = None
        self._pending = False
        self._next: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", self._ask)

    @property
    def done(self) -> bool:
        """Whether the scans that are chosen now have been looked at."""
        return self._findings is not None

    @property
    def pending(self) -> bool:
        """Whether the scans that are chosen now are about to be looked at."""
        return self._pending

    @property
    def awaited(self) -> bool:
        """Whether something is to be done when they have been looked at."""
        return self._next is not None

    def afterwards(self, action: Callable[[], None] | None) -> None:
        """Call `action` once when they have been looked at, in place of any other; None is none."""
        self._next = action
        self._onChanged()

    def problem(self) -> str:
        """Why the scans cannot be run, or the empty string."""
        return " ".join(finding.sentence for finding in of_severity(self._findings or (), RED))

    def questions(self) -> list[str]:
        """What the user has to say is meant before the scans are run."""
        return [finding.sentence for finding in self._findings or () if finding.asks]

    def confirmed(self) -> bool:
        """Ask these questions, once for a choice of scans; whether all of it is meant."""
        questions = self.questions()
        if not questions or self._confirmed == self._asked:
            return True
        text = "\n\n".join([*questions, _("Run the model on them nevertheless?")])
        if slicer.util.confirmOkCancelDisplay(text, _("Do these scans belong together?")):
            self._confirmed = self._asked
        return self._confirmed == self._asked

    def doubts(self) -> tuple[str, ...]:
        """The sentences about scans that may be run, but should be looked at."""
        return tuple(finding.sentence for finding in of_severity(self._findings or (), AMBER))

    def lookAgain(self) -> None:
        """Other scans may be chosen: what was found holds no more if so."""
        settings = self._settings()
        wanted = _identity(settings)
        if wanted == self._asked:
            return
        self._asked = wanted
        self._show(None)
        self._timer.stop()
        self._pending = settings is not None and settings.model.expects != Expectations()
        if self._pending:
            self._timer.start()
        else:
            self._end()

    def release(self) -> None:
        """Look no more, as before the widgets are deleted."""
        self._timer.stop()
        self._next = None
        self._asked = ()

    def _ask(self) -> None:
        settings = self._settings()
        if settings is None:
            self._end()
            return
        if self._logic.busy:
            self._timer.start()
            return
        callbacks: Callbacks[tuple[Finding, ...]] = Callbacks(
            partial(self._found, self._asked), partial(self._failed, self._asked)
        )
        raw = replace(settings, preparation=None)
        self._logic.setPython(settings.python)
        if not self._logic.engine.installed:
            self._end()
            return
        try:
            CheckRun(slicer.mrmlScene, self._logic.engine, raw, callbacks).start()
        except SceneError:
            self._show(None)  # a run says the same, when it is asked for
            self._end()

    def _found(self, identity: tuple, findings: tuple[Finding, ...]) -> None:
        if identity == self._asked:
            self._show(findings)
            self._onChanged()
            self._end()

    def _failed(self, identity: tuple, error: EngineError) -> None:
        """Without an engine there is no check; a run says why, when it is asked for."""
        if identity == self._asked:
            self._end()

    def _end(self) -> None:
        self._pending = False
        action, self._next = self._next, None
        if action is not None:  # later, since it may ask the user while the engine is being heard
            qt.QTimer.singleShot(0, action)

    def _show(self, findings: tuple[Finding, ...] | None) -> None:
        settings = self._settings()
        if findings is not None and settings is not None and settings.preparation is not None:
            findings = tuple(finding for finding in findings if not finding.by_preparation)
        self._findings = findings
        known, looked = findings or (), settings.volumeIds if settings is not None else {}
        for channel in self._channels.channels:
            own = [finding for finding in known if finding.concerns(channel.name)]
            isLooked = findings is not None and channel.name in looked  # not so if it is left out
            severity = gravest(own) if isLooked else ""
            below = [f.sentence for f in own if f.severity != GREEN and len(f.channels) == 1]
            self._channels.mark(channel.name, severity, [f.sentence for f in own], below)
        shared = [f.sentence for f in known if f.severity != GREEN and len(f.channels) != 1]
        if any(finding.by_preparation for finding in known):
            shared.append(_("Prepare inputs, below, can put it right."))
        self._label.text = " ".join(shared)
        self._label.visible = bool(shared)


def _identity(settings: RunSettings | None) -> tuple[Any, ...]:
    """Equal while the same volumes are chosen for the same model, unchanged."""
    if settings is None:
        return ()
    states = [
        (name, volumeId, stateOf(slicer.mrmlScene.GetNodeByID(volumeId)))
        for name, volumeId in settings.volumeIds.items()
    ]
    return (str(settings.model.path), settings.preparation is not None, *states)
