"""The button that starts and cancels a run, with its progress and its one-sentence outcome."""

from __future__ import annotations

import time
from collections.abc import Callable

from slicer.i18n import tr as _

from factorizer_engine.protocol.errors import CancelledError, EngineError
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.wording import capitalised
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor

DOUBLE_CLICK_S = 0.4
"""A click that follows the one which has started a run so soon was meant as one with it."""


class RunControls:
    """One button for start and cancel, a progress bar, the stage, and the status line.

    Args:
        button, progressBar, stageLabel, statusLabel: The widgets.
        onStart, onCancel: Called when the button is clicked, by state.
        startTip: Tooltip of the button while it can start.
    """

    def __init__(
        self,
        button,
        progressBar,
        stageLabel,
        statusLabel,
        onStart: Callable[[], None],
        onCancel: Callable[[], None],
        startTip: str,
    ) -> None:
        self._button = button
        self._progressBar = progressBar
        self._stageLabel = stageLabel
        self._statusLabel = statusLabel
        self._statusColor = TextColor(statusLabel)
        self._onStart = onStart
        self._onCancel = onCancel
        self._startText = button.text
        self._startTip = startTip
        self._problem = ""
        self._state = "idle"
        self._startedAt = 0.0
        self._isForgotten = False
        button.connect("clicked()", self._onClicked)
        self._show()

    @property
    def running(self) -> bool:
        """Whether the run of these controls is on."""
        return self._state != "idle"

    @property
    def status(self) -> str:
        """The sentence below the button."""
        return self._statusLabel.text

    @property
    def failedLast(self) -> bool:
        """Whether the last run ended with an error."""
        return self._statusColor.kind == WARNING

    def setProblem(self, sentence: str) -> None:
        """Say why a run cannot start now; the empty string means that it can."""
        self._problem = sentence
        self._show()

    def setStart(self, text: str, tip: str) -> None:
        """What the button says and explains while it can start."""
        self._startText, self._startTip = text, tip
        self._show()

    def started(self, stage: str = "") -> None:
        """A run has begun; what it does first is that the engine starts, unless said otherwise."""
        self._state, self._startedAt, self._isForgotten = "running", time.monotonic(), False
        self.setStatus("")
        self._progressBar.setRange(0, 0)
        self._stageLabel.text = stage or _("Starting the engine")
        self._show()

    def progressed(self, progress: Progress) -> None:
        """A run has come this far."""
        if self._state != "running":
            return
        self._progressBar.setRange(0, 100)
        self._progressBar.value = round(100 * progress.fraction)
        self._stageLabel.text = _stageText(progress)

    def ended(self, sentence: str = "") -> None:
        """The run is over and all is well."""
        self._end(sentence)

    def failed(self, error: EngineError) -> None:
        """The run is over without a result."""
        self._end(str(error), isError=not isinstance(error, CancelledError))

    def forget(self) -> None:
        """Another scene comes: say nothing of the one before, nor how its run ends."""
        self._isForgotten = self.running
        self.setStatus("")

    def setStatus(self, sentence: str, isError: bool = False) -> None:
        """Show one sentence below the button; the empty string hides the line."""
        self._statusLabel.text = sentence
        self._statusColor.setKind(WARNING if isError else "")
        self._statusLabel.visible = bool(sentence)

    def _end(self, sentence: str, isError: bool = False) -> None:
        self._state = "idle"
        self._show()
        if not self._isForgotten:
            self.setStatus(sentence, isError)

    def _onClicked(self) -> None:
        if self._state == "idle":
            self._onStart()
        elif self._state == "running" and time.monotonic() - self._startedAt >= DOUBLE_CLICK_S:
            self._state = "cancelling"
            self._show()
            self._onCancel()

    def _show(self) -> None:
        running = self.running
        self._progressBar.visible = running
        self._stageLabel.visible = running
        if self._state == "running":
            self._setButton(_("Cancel"), True, _("Stop; nothing in the scene changes."))
        elif self._state == "cancelling":
            self._stageLabel.text = _("Stopping")
            self._setButton(_("Cancelling ..."), False, _("The engine is being stopped."))
        else:
            self._setButton(self._startText, not self._problem, self._problem or self._startTip)

    def _setButton(self, text: str, enabled: bool, tip: str) -> None:
        self._button.text = text
        self._button.enabled = enabled
        self._button.toolTip = tip


def _stageText(progress: Progress) -> str:
    stage = capitalised(progress.stage)
    if progress.remaining is None:
        return stage
    return _("{stage}, about {time} left").format(
        stage=stage, time=durationText(progress.remaining)
    )


def durationText(seconds: float) -> str:
    """A time for people, such as "40 s" or "3 min"."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    return _("{minutes} min").format(minutes=round(seconds / 60))
