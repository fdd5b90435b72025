"""The panel that turns scans into segments."""

from __future__ import annotations

from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.tasks.hello import HelloResult
from FactorizerSegmentationLib.models import ModelSummary
from FactorizerSegmentationLib.panels.box_controls import BoxControls
from FactorizerSegmentationLib.panels.channel_selectors import ChannelSelectors
from FactorizerSegmentationLib.panels.durations import describeModel, rememberDuration
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable
from FactorizerSegmentationLib.parameters import Parameters, channelVolume, setChannelVolume
from FactorizerSegmentationLib.scene import layers
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.tables import isBoxed, lesionRows
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.tasks.run import Outcome, RunCallbacks, RunSettings

PYTHON_SETTING = "FactorizerSegmentation/Python"
BAD_INPUT = "bad_input"


class SegmentPanel:
    """Model, scans and options in; Segment/Cancel; progress; the lesions found.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
    """

    def __init__(self, logic, uiPath: str) -> None:
        self._logic = logic
        self._parameters: Parameters | None = None
        self._guiTag = None
        self._models: list[ModelSummary] = []
        self._shown: tuple = ()
        self.widget = slicer.util.loadUI(uiPath)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.channels = ChannelSelectors(self.ui.scansBox.layout(), self._onVolumesChanged)
        self.controls = RunControls(
            self.ui.applyButton,
            self.ui.progressBar,
            self.ui.stageLabel,
            self.ui.statusLabel,
            self._onApply,
            logic.cancel,
            "",
        )
        self.box = BoxControls(self.ui, self._onBoxChanged, self._boxPlace)
        self._patch: Patch | None = None
        self._tableBefore = None
        self._fillDevices([("auto", _("Automatic")), ("cpu", _("Processor (CPU)"))])
        self.ui.pythonLineEdit.text = slicer.util.settingsValue(PYTHON_SETTING, "")
        self._connect()

    def setParameters(self, parameters: Parameters | None) -> None:
        """Show and change these parameters; None before the scene or the panel goes."""
        if parameters is not self._parameters:
            if self._parameters is not None:
                self._parameters.disconnectGui(self._guiTag)
            self._parameters = parameters
            self._shown = ()
            self._patch = None
            self.box.setParameters(None)
            if parameters is not None:
                widgets = {"mirroring": self.ui.mirroringCheckBox, **self.box.widgets()}
                self._guiTag = parameters.connectParametersToGui(widgets)
        if parameters is not None:
            self.box.setParameters(parameters)
            self._showModels()
            self._showDevice()
            self._showResult()

    def settings(self) -> RunSettings | None:
        """What the panel asks for, or None while something is missing."""
        model = self.model
        if model is None or self.channels.problem() or self._boxProblem():
            return None
        volumes = self.channels.volumes()
        box, target = self.box.box, self.box.target
        return RunSettings(
            model=model,
            volumeIds={name: node.GetID() for name, node in volumes.items()},
            device=self.ui.deviceComboBox.itemData(self.ui.deviceComboBox.currentIndex),
            mirroring=True if self.ui.mirroringCheckBox.checked else None,
            boxId=box.GetID() if box is not None else None,
            quick=self.box.quick,
            targetId=target.GetID() if target is not None else None,
        )

    def problem(self) -> str:
        """One sentence on why nothing can be run now, or the empty string."""
        if self.model is None:
            return _("No model is installed; put a model folder into {folder}.").format(
                folder=self._logic.modelFolder
            )
        if self._logic.busy and not self.controls.running:
            return _("Wait until the running computation has ended.")
        return self.channels.problem() or self._boxProblem()

    @property
    def model(self) -> ModelSummary | None:
        """The chosen model."""
        index = self.ui.modelComboBox.currentIndex
        return self._models[index] if 0 <= index < len(self._models) else None

    def update(self) -> None:
        """Bring buttons and tooltips up to date with the scene and the logic."""
        self.channels.offerScansOnly(slicer.mrmlScene)
        self.controls.setStart(*self.box.startText())
        self.controls.setProblem(self.problem())
        idle = not self.controls.running
        for widget in (self.ui.modelComboBox, self.ui.scansBox, self.ui.advancedButton):
            widget.enabled = idle
        self.box.setEnabled(idle)
        self.ui.undoButton.enabled = idle

    def fillEmptyChannels(self) -> None:
        """Choose volumes by their names for the channels that have none."""
        if self._parameters is not None and not self.controls.running:
            if self.channels.fillEmpty(slicer.mrmlScene):
                self._onVolumesChanged()

    def onNodeAboutToBeRemoved(self, node) -> None:
        """What was chosen is about to be deleted in the scene: nothing may take its place."""
        if self._parameters is not None:
            self.channels.forget(node)
            self.box.forget(node)

    def onNodesRemoved(self) -> None:
        """A result may have been deleted in the scene."""
        if self._patch is not None and self._patch.segmentationNode.GetScene() is None:
            self._patch = None
        if self._parameters is not None:
            self._showResult()

    def showDevices(self, hello: HelloResult) -> None:
        """Offer the devices that the engine has found."""
        if self._parameters is None:
            return
        devices = [(device.name, device.title) for device in hello.devices]
        self._fillDevices([("auto", _("Automatic")), *devices])
        self._showDevice()

    def release(self) -> None:
        """Let go of scene and parameters before the widget is deleted."""
        self.setParameters(None)
        self.channels.release()
        self.box.release()

    def _connect(self) -> None:
        ui = self.ui
        ui.modelComboBox.connect("currentIndexChanged(int)", self._onModelChanged)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onDeviceChanged)
        ui.pythonLineEdit.connect("editingFinished()", self._onPythonChanged)
        ui.lesionsTable.connect("itemSelectionChanged()", self._onLesionSelected)
        ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        ui.editButton.connect("clicked()", self._onEdit)
        ui.undoButton.connect("clicked()", self._onUndo)

    # Showing the parameters.

    def _showModels(self) -> None:
        combo = self.ui.modelComboBox
        self._models = self._logic.models()
        blocked = combo.blockSignals(True)
        combo.clear()
        for model in self._models:
            combo.addItem(model.title)
        names = [model.name for model in self._models]
        wanted = self._parameters.modelName
        combo.currentIndex = names.index(wanted) if wanted in names else (0 if names else -1)
        combo.blockSignals(blocked)
        self._showModel()

    def _showModel(self) -> None:
        model = self.model
        self._showDescription()
        self.ui.modelCardBrowser.setMarkdown(model.card if model else "")
        self.ui.aboutModelButton.visible = bool(model and model.card)
        self.channels.build(model.channels if model else ())
        self.channels.setVolumes(
            {
                channel.name: channelVolume(self._parameters, channel.name)
                for channel in self.channels.channels
            }
        )
        self.fillEmptyChannels()
        self.update()

    def _showDescription(self) -> None:
        """What the model does, and how long it takes on the chosen device."""
        label, model = self.ui.modelDescriptionLabel, self.model
        label.text = describeModel(model, self._parameters.device) if model else ""
        label.visible = bool(label.text)

    def _fillDevices(self, devices: list[tuple[str, str]]) -> None:
        combo = self.ui.deviceComboBox
        blocked = combo.blockSignals(True)
        combo.clear()
        for name, title in devices:
            combo.addItem(title, name)
        combo.blockSignals(blocked)

    def _showDevice(self) -> None:
        combo = self.ui.deviceComboBox
        index = combo.findData(self._parameters.device)
        if index < 0:
            combo.addItem(self._parameters.device, self._parameters.device)
            index = combo.count - 1
        blocked = combo.blockSignals(True)
        combo.currentIndex = index
        combo.blockSignals(blocked)

    def _showResult(self) -> None:
        tableNode = self._parameters.lesionTable
        segmentationNode = self._parameters.segmentation
        self.ui.undoButton.visible = self._patch is not None
        shown = (tableNode, segmentationNode)
        self.ui.lesionsBox.visible = tableNode is not None
        if tableNode is None or shown == self._shown:
            return
        self._shown = shown
        boxed = isBoxed(tableNode)
        self.ui.lesionsBox.title = _("Lesions inside the box") if boxed else _("Lesions")
        lesions = lesionRows(tableNode)
        fillTable(
            self.ui.lesionsTable,
            (_("Lesion"), _("mL"), _("mm"), _("Probability")),
            [
                (item.name, f"{item.volume:.2f}", f"{item.diameter:.1f}", _percent(item))
                for item in lesions
            ],
            [_point(item) for item in lesions],
            [_colorOf(segmentationNode, item.label) for item in lesions],
        )
        for button in (self.ui.show3DButton, self.ui.editButton):
            button.enabled = segmentationNode is not None
        blocked = self.ui.show3DButton.blockSignals(True)
        display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
        self.ui.show3DButton.checked = bool(display is not None and display.GetVisibility3D())
        self.ui.show3DButton.blockSignals(blocked)

    # What the user does.

    def _onModelChanged(self, *ignored) -> None:
        if self._parameters is not None and self.model is not None:
            self._parameters.modelName = self.model.name
            self._showModel()
            self._logic.notify()

    def _onDeviceChanged(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.device = self.ui.deviceComboBox.itemData(index)
            self._showDescription()

    def _onVolumesChanged(self) -> None:
        if self._parameters is None:
            return
        for name, node in self.channels.volumes().items():
            setChannelVolume(self._parameters, name, node)
        if not self.controls.running:
            self.controls.setStatus("")
        self._logic.notify()

    def _onPythonChanged(self) -> None:
        python = self.ui.pythonLineEdit.text.strip()
        qt.QSettings().setValue(PYTHON_SETTING, python)
        if not self._logic.busy:
            self._logic.setPython(python)

    def _onApply(self) -> None:
        settings = self.settings()
        if settings is None or not self._logic.prepareEngine(self.ui.pythonLineEdit.text.strip()):
            return
        self._parameters.modelName = settings.model.name
        callbacks = RunCallbacks(
            partial(self._onFinished, settings), self._onFailed, self.controls.progressed
        )
        self.controls.started()
        try:
            self._logic.segment(settings, callbacks)
        except SceneError as error:
            self._onFailed(BAD_INPUT, str(error))

    def _onFinished(self, settings: RunSettings, outcome: Outcome) -> None:
        self.controls.ended(_summary(outcome))
        rememberDuration(settings, outcome)
        self._patch = outcome.patch
        if self._parameters is not None:
            self._tableBefore = self._parameters.lesionTable
            self._parameters.segmentation = outcome.segmentationNode
            self._parameters.lesionTable = outcome.lesionTableNode
            self._showDescription()
            self._showResult()
            self._lookAtResult()
        self._logic.notify()

    def _onFailed(self, kind: str, sentence: str) -> None:
        self.controls.failed(kind, sentence)
        self._logic.notify()

    def _boxProblem(self) -> str:
        return self.box.problem(self._referenceVolume())

    def _referenceVolume(self):
        """The volume on whose voxels results are given, or None."""
        return next(iter(self.channels.volumes().values()), None)

    def _boxPlace(self) -> tuple[object, object]:
        """Where a new box goes: the reference volume, and the selected or largest lesion."""
        tableNode = self._parameters.lesionTable if self._parameters is not None else None
        lesions = lesionRows(tableNode) if tableNode is not None else []
        key = currentKey(self.ui.lesionsTable)
        selected = [lesion for lesion in lesions if _point(lesion) == key]
        return self._referenceVolume(), next(iter([*selected, *lesions]), None)

    def _onBoxChanged(self) -> None:
        if self._parameters is not None:
            self._logic.notify()

    def _onUndo(self) -> None:
        self._patch.undo()
        self._patch = None
        gone = self._tableBefore is None or self._tableBefore.GetScene() is None
        self._parameters.lesionTable = None if gone else self._tableBefore
        self.controls.setStatus(_("The update was taken back."))
        self._showResult()
        self._logic.notify()

    def _lookAtResult(self) -> None:
        """Show the scan below the segments, and move to the largest lesion; not to one in a box."""
        volumes = [node for node in self.channels.volumes().values() if node is not None]
        if volumes and not layers.backgroundIsOneOf(slicer.mrmlScene, volumes):
            slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
        lesions = lesionRows(self._parameters.lesionTable)
        if lesions and not isBoxed(self._parameters.lesionTable):
            layers.jumpSlices(slicer.mrmlScene, lesions[0].centroid)

    def _onLesionSelected(self) -> None:
        key = currentKey(self.ui.lesionsTable)
        if key is not None:
            layers.jumpSlices(slicer.mrmlScene, [float(part) for part in key.split()])

    def _onShow3D(self, shown: bool) -> None:
        node = self._parameters.segmentation if self._parameters is not None else None
        if node is None:
            return
        if shown:
            node.CreateClosedSurfaceRepresentation()
        node.GetDisplayNode().SetVisibility3D(bool(shown))

    def _onEdit(self) -> None:
        node = self._parameters.segmentation if self._parameters is not None else None
        if node is not None:
            self._logic.openSegmentEditor(node)


def _summary(outcome: Outcome) -> str:
    """Total volume by class, the largest first."""
    totals: dict[str, float] = {}
    for lesion in lesionRows(outcome.lesionTableNode):
        totals[lesion.name] = totals.get(lesion.name, 0.0) + lesion.volume
    found = [f"{name} {volume:.1f} mL" for name, volume in totals.items()]
    sentence = _("{found} ({seconds} s on {device}).")
    if isBoxed(outcome.lesionTableNode):
        sentence = _("Inside the box: {found} ({seconds} s on {device}).")
    return sentence.format(
        found=", ".join(found) or _("Nothing was found"),
        seconds=round(sum(outcome.seconds.values())),
        device=outcome.device,
    )


def _percent(lesion) -> str:
    return f"{round(100 * lesion.probability)} %"


def _point(lesion) -> str:
    return " ".join(f"{part:.3f}" for part in lesion.centroid)


def _colorOf(segmentationNode, label: int) -> tuple[float, float, float] | None:
    if segmentationNode is None:
        return None
    segment = segmentationNode.GetSegmentation().GetSegment(segmentIdOf(label))
    return segment.GetColor() if segment is not None else None
