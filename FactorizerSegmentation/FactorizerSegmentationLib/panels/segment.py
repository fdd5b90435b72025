"""The panel that turns scans into segments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.lesions import volume_by_class
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.checked_start import CheckedStart
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.run_choices import RunChoices
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.run_log import RunLog
from FactorizerSegmentationLib.scene import layers, surfaces
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.tables import isBoxed, lesionsOf

if TYPE_CHECKING:
    from FactorizerSegmentationLib.scene.updates import Patch
    from FactorizerSegmentationLib.tasks.run import RunSettings
    from FactorizerSegmentationLib.tasks.segment import Segmented


class SegmentPanel(Panel):
    """How to run; Segment/Cancel; progress; the outcome in one sentence; the log.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Says what to run on what.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self.inputs = inputs
        self.choices = RunChoices(self.ui, logic, lambda: inputs.model)
        self._background = layers.BackgroundLayer()
        self._log = RunLog(self.ui.logTextEdit, self.ui.copyLogButton)
        self.controls = RunControls(
            self.ui.applyButton,
            self.ui.progressBar,
            self.ui.stageLabel,
            self.ui.statusLabel,
            lambda: self._checked.begin(),
            lambda: self._checked.cancel(),
            "",
        )
        self._checked = CheckedStart(
            inputs.checks, inputs.runProblem, self.controls, self._start, logic.cancel
        )
        inputs.changed.connect(self._onInputsChanged)
        logic.logged.connect(self._log.add)
        logic.helloed.connect(self._log.addEngine)

    def forget(self) -> None:
        self._checked.forget()
        self.controls.forget()
        self.choices.setParameters(None)
        self._background.forget()
        self._logic.positions.forget()

    def leave(self) -> None:
        self._background.restore(slicer.mrmlScene)

    def show(self) -> None:
        if self._parameters is not None:
            self.choices.setParameters(self._parameters.inputs)

    def update(self) -> None:
        self.choices.setEnabled(not self._logic.busy)
        self.choices.show()
        self.controls.setStart(*self.inputs.startText())
        self.controls.setProblem(self.inputs.runProblem())

    def release(self) -> None:
        super().release()
        self.inputs.changed.disconnect(self._onInputsChanged)
        self._logic.logged.disconnect(self._log.add)
        self._logic.helloed.disconnect(self._log.addEngine)
        self.choices.release()

    def _onInputsChanged(self) -> None:
        if not self.controls.running:
            self.controls.setStatus("")

    def _start(self) -> None:
        settings = self.inputs.settings()
        if settings is None or self._parameters is None or not self.inputs.confirmed():
            return
        if not self._logic.prepareEngine(settings.python, settings.packages):
            return
        self._parameters.inputs.modelName = settings.model.name
        callbacks = Callbacks(
            partial(self._onFinished, settings), self._onFailed, self.controls.progressed
        )
        self.controls.started()
        try:
            self._logic.segment(settings, callbacks)
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, settings: RunSettings, outcome: Segmented) -> None:
        self.controls.ended(_summary(outcome))
        if settings.boxId is None:
            seconds = sum(outcome.seconds.values())
            stages = ", ".join(f"{name} {time:.1f} s" for name, time in outcome.seconds.items())
            self._log.add(f"{outcome.device}: {stages}")
            self.choices.remember(settings.quality, outcome.device, seconds)
        if self._parameters is not None:
            if outcome.patch is not None:
                self._logic.history.add(self._updateStep(outcome.patch, outcome))
            else:
                self._showInPlaceOf(self._own.segmentation, outcome.segmentationNode)
            self._own.segmentation = outcome.segmentationNode
            self._own.lesionTable = outcome.lesionTableNode
            if self._logic.inFront:
                self._lookAtResult()
        self._logic.notify()

    def _showInPlaceOf(self, earlier, node) -> None:
        """Show a new result in 3D, if that is wanted, and hide the one before: both would blend."""
        if surfaces.areWanted():
            surfaces.setShown(earlier, False)
            surfaces.setShown(node, True)
        if earlier is not None and referenceVolumeOf(earlier) is referenceVolumeOf(node):
            earlier.SetDisplayVisibility(False)

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _lookAtResult(self) -> None:
        """Show the scan below the segments, and move to the largest lesion; not to one in a box."""
        volumes = self.inputs.volumes()
        if volumes and not layers.backgroundIsOneOf(slicer.mrmlScene, volumes):
            with self._logic.positions.moving(slicer.mrmlScene):
                self._background.show(volumes[0])
        lesions = lesionsOf(self._own.lesionTable)
        if lesions and not isBoxed(self._own.lesionTable):
            middle = lesions[0].long_axis.middle
            # Not into the middle, so that the head stays in view.
            self._logic.positions.jump(slicer.mrmlScene, middle, centered=False)

    def _updateStep(self, patch: Patch, outcome: Segmented) -> Step:
        """An update of a segmentation; what is listed goes along, unless it is another by then."""
        own = self._own
        before = own.segmentation, own.lesionTable
        after = outcome.segmentationNode, outcome.lesionTableNode

        def change(segment: Callable[[], None], instead: tuple[Any, Any]) -> None:
            segment()
            if own.segmentation in (before[0], after[0]):
                node, tableNode = (it if it is None or it.GetScene() else None for it in instead)
                own.segmentation = node if node is not None else after[0]
                own.lesionTable = tableNode

        return Step(
            _("update inside the box"),
            lambda: change(patch.undo, before),
            lambda: change(patch.apply, after),
            (outcome.segmentationNode,),
        )


def _summary(outcome: Segmented) -> str:
    """Total volume by class, the largest first."""
    totals = volume_by_class(lesionsOf(outcome.lesionTableNode))
    found = [f"{name} {rounded(volume, 1)} mL" for name, volume in totals.items()]
    sentence = _("{found} ({seconds} s on {device}).")
    if isBoxed(outcome.lesionTableNode):
        sentence = _("Inside the box: {found} ({seconds} s on {device}).")
    return sentence.format(
        found=", ".join(found) or _("Nothing was found"),
        seconds=round(sum(outcome.seconds.values())),
        device=outcome.device,
    )
