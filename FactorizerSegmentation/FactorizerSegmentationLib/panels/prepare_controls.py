"""Whether and how the scans are prepared before a run, and what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import MEGABYTE
from factorizer_engine.protocol.kept import clear_kept, kept_bytes
from factorizer_engine.protocol.locations import preparation_cache_dir
from factorizer_engine.protocol.preparation import BiasMode, PreparationOptions, doubts_of
from factorizer_engine.protocol.tasks.prepare import PrepareResult
from FactorizerSegmentationLib.panels.checked_start import CheckedStart
from FactorizerSegmentationLib.panels.input_checks import InputChecks
from FactorizerSegmentationLib.panels.node_selectors import deselect, release
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene import preparation
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.tasks.preparation import PreparationSettings, Prepared
from FactorizerSegmentationLib.tasks.run import RunSettings


class PrepareControls:
    """A check box that opens the choices, the outcome and the quality sheet.

    Args:
        ui: The widgets of the panel.
        logic: The FactorizerSegmentationLogic.
        volumes: Gives the chosen volume nodes by channel, the reference first.
        settings: Gives what would be run now, or None.
        checks: Looks at the scans.
        problem: Says why nothing can be run, or nothing.
        onChanged: Called after any of the choices has changed.
    """

    def __init__(
        self,
        ui,
        logic,
        volumes: Callable[[], Mapping[str, Any]],
        settings: Callable[[], RunSettings | None],
        checks: InputChecks,
        problem: Callable[[], str],
        onChanged: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._logic = logic
        self._volumes = volumes
        self._settings = settings
        self._checks = checks
        self._onChanged = onChanged
        self.controls = RunControls(
            ui.prepareButton,
            ui.prepareProgressBar,
            ui.prepareStageLabel,
            ui.prepareStatusLabel,
            lambda: self._checked.begin(),
            lambda: self._checked.cancel(),
            _("Prepare the scans and stop there, to look at the outcome and correct it."),
        )
        self._checked = CheckedStart(checks, problem, self.controls, self._start, logic.cancel)
        ui.prepareCheckBox.connect("toggled(bool)", self._onToggled)
        ui.brainSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onBrainChosen)
        ui.registeredCheckBox.connect("toggled(bool)", self._onRegisteredToggled)
        ui.sheetButton.connect("clicked()", self._onSheet)
        ui.clearKeptButton.connect("clicked()", self._onClearKept)

    @property
    def used(self) -> bool:
        """Whether the scans are prepared before a run."""
        return self._ui.prepareCheckBox.checked

    def widgets(self) -> dict[str, object]:
        """Parameter name to the widget that shows it."""
        return {
            "prepared": self._ui.prepareCheckBox,
            "brainMask": self._ui.brainSelector,
            "biasField": self._ui.biasCheckBox,
        }

    def show(self, brainNode) -> None:
        """Choose a brain mask without telling anybody: a loaded scene names it before it is there.

        Args:
            brainNode: A segmentation, or None.
        """
        with signalsBlocked(self._ui.brainSelector):
            self._ui.brainSelector.setCurrentNode(brainNode)

    def settings(self) -> PreparationSettings | None:
        """How the scans are to be prepared; None if they are taken as they are."""
        if not self.used:
            return None
        brain = self._ui.brainSelector.currentNode()
        bias = BiasMode.auto if self._ui.biasCheckBox.checked else BiasMode.off
        return PreparationSettings(
            PreparationOptions(bias_field=bias.value),
            brain.GetID() if brain is not None else None,
            self._onKept,
        )

    def problem(self) -> str:
        """One sentence on what does not fit, or the empty string."""
        brain = self._ui.brainSelector.currentNode()
        if not self.used or brain is None:
            return ""
        if not preparation.brainBelongsTo(brain, self._volumes().values()):
            sentence = _(
                "The brain mask '{name}' was drawn on another scan; choose another one, or none."
            )
            return sentence.format(name=brain.GetName())
        return ""

    def forgetRun(self) -> None:
        """Neither begin after the check of the scans nor tell how a run ends: the scene goes."""
        self._checked.forget()
        self.controls.forget()

    def forgetOutcome(self) -> None:
        """Other scans are chosen: what was said of those before holds no more."""
        if not self.controls.running:
            self.controls.setStatus("")

    def update(self, problem: str) -> None:
        """Show what can be done now.

        Args:
            problem: Why nothing can be run, or the empty string.
        """
        self._ui.prepareSettings.visible = self.used
        self.controls.setProblem(problem)
        running, idle = self.controls.running, not self._logic.busy
        for name in ("prepareCheckBox", "brainSelector", "biasCheckBox", "registeredCheckBox"):
            getattr(self._ui, name).enabled = idle and not running
        found = self._registrations()
        box = self._ui.registeredCheckBox
        box.visible = bool(found)
        with signalsBlocked(box):
            box.checked = any(preparation.isUsed(node) for node in found.values())
        box.text = _("Use the registration of {names}").format(names=", ".join(found))
        self._ui.sheetButton.enabled = self._sheet() is not None
        if self.used:
            self._showKept(idle)

    def forget(self, node) -> None:
        """A node is about to go: no other segmentation may stand in for it."""
        deselect([self._ui.brainSelector], node)

    def release(self) -> None:
        """Let go of the scene, as before the widgets are deleted."""
        release([self._ui.brainSelector])

    def _reference(self):
        return next(iter(self._volumes().values()), None)

    def _registrations(self) -> dict[str, Any]:
        reference = self._reference()
        return preparation.registrations(self._volumes(), reference) if reference else {}

    def _sheet(self):
        reference = self._reference()
        return preparation.sheetOf(reference) if reference is not None else None

    def _onToggled(self, checked: bool) -> None:
        self._ui.prepareSettings.visible = checked
        self._onChanged()

    def _onBrainChosen(self, *ignored) -> None:
        self._onChanged()

    def _onRegisteredToggled(self, checked: bool) -> None:
        preparation.use(self._registrations().values(), checked)
        self._onChanged()

    def _start(self) -> None:
        settings = self._settings()
        if settings is None or settings.preparation is None or not self._checks.confirmed():
            return
        if not self._logic.prepareEngine(settings.python, settings.packages):
            return
        callbacks = Callbacks(self._onFinished, self._onFailed, self.controls.progressed)
        self.controls.started()
        try:
            self._logic.prepareInputs(replace(settings, boxId=None), callbacks)
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, result: PrepareResult) -> None:
        self.controls.ended(self.controls.status)
        self._logic.notify()

    def _onFailed(self, error) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _onKept(self, prepared: Prepared) -> None:
        """Some run has prepared the scans: propose its mask, and say what has to be looked at."""
        if prepared.brainNode is not None:
            self._ui.brainSelector.setCurrentNode(prepared.brainNode)
        sentence = _("The scans are prepared; the quality sheet shows how.")
        self.controls.setStatus("\n".join(doubts_of(prepared.steps)) or sentence)
        self._ui.prepareStatusLabel.toolTip = "<br>".join(
            escape(f"{step.channel or _('All scans')}, {step.name}: {step.outcome}")
            for step in prepared.steps
        )

    def _showKept(self, idle: bool) -> None:
        taken = kept_bytes(preparation_cache_dir()) / MEGABYTE
        self._ui.keptLabel.text = _("Kept: {size:.1f} MB").format(size=taken)
        self._ui.clearKeptButton.enabled = idle and taken > 0

    def _onClearKept(self) -> None:
        try:
            clear_kept(preparation_cache_dir())
        except BadInputError as error:
            self.controls.setStatus(str(error))
        self._showKept(not self._logic.busy)

    def _onSheet(self) -> None:
        """Open the page in the browser, from a file in Slicer's temporary folder."""
        node = self._sheet()
        if node is None:
            return
        folder = tempfile.mkdtemp(prefix="sheet-", dir=slicer.app.temporaryPath)
        page = Path(folder) / "preparation.html"
        page.write_text(node.GetText(), encoding="utf-8")
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))
