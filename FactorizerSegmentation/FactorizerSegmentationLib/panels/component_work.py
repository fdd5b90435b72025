"""The panel that makes segments of a component, and brushes that keep to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.components import ComponentsPanel
from FactorizerSegmentationLib.panels.editing import EditPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor
from FactorizerSegmentationLib.scene import component_masks
from FactorizerSegmentationLib.scene.brush_region import SEGMENT, BrushRegion
from FactorizerSegmentationLib.scene.component_masks import NewSegment, Operation, SegmentMasks
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.heatmaps import heatmapOf
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.proposals import ProposalPreview
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.verdicts import problem
from FactorizerSegmentationLib.scene.volumes import voxelMl

GAINED, LOST = (90, 200, 255), (255, 90, 200)
EVERYWHERE, AT_LESION, IN_BOX, BRUSHED = "everywhere", "lesion", "box", "brushed"


class ComponentWorkPanel(Panel):
    """A segment, what is done with it where the shown component is strong; preview and Apply.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        components: Shows the component.
        editing: Has the brushes.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str, components: ComponentsPanel, editing: EditPanel) -> None:
        super().__init__(logic, uiPath)
        self._components = components
        self._editing = editing
        self._preview = ProposalPreview()
        self._region = BrushRegion()
        self._shownName: str | None = None
        self._segments: SegmentMasks | None = None
        self._offered: list[tuple[str, str]] = []
        self._where: tuple[Any, np.ndarray | None] | None = None
        self._color = TextColor(self.ui.workLabel)
        ui = self.ui
        for value, text in (
            (Operation.add, _("Add where it is strong")),
            (Operation.intersect, _("Keep only where it is strong")),
            (Operation.subtract, _("Take away where it is strong")),
        ):
            ui.workOperationComboBox.addItem(text, value.value)
        for place, text in (
            (EVERYWHERE, _("Everywhere")),
            (AT_LESION, _("At the selected lesion")),
            (IN_BOX, _("Inside the box")),
            (BRUSHED, _("Inside the brush region")),
        ):
            ui.workPlaceComboBox.addItem(text, place)
        for combo in (ui.workSegmentComboBox, ui.workOperationComboBox, ui.workPlaceComboBox):
            combo.connect("currentIndexChanged(int)", self._onChoice)
        ui.workLevelSlider.connect("valueChanged(double)", self._onLevel)
        ui.workBrushButton.connect("toggled(bool)", self._onBrush)
        ui.workPreviewButton.connect("toggled(bool)", self._onPreview)
        ui.workApplyButton.connect("clicked()", self._onApply)
        ui.workMaskCheckBox.connect("toggled(bool)", self._onMask)
        components.shown.connect(self.update)

    def forget(self) -> None:
        self._stop()
        self._region.remove()
        self._offered, self._shownName = [], None

    def show(self) -> None:
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        node, segmentationNode = self._components.shownNode, self._own.segmentation
        usable = node is not None and heatmapOf(node) is not None and not problem(segmentationNode)
        self.ui.workBox.visible = usable
        self.ui.workBox.enabled = not self._logic.busy
        if not usable:
            self._stop()
            return
        self._offerSegments(segmentationNode)
        if node.GetName() != self._shownName:
            self._shownName = node.GetName()
            self._onLevel()
        elif self._where is not None and self._where[0] != self._whereKey():
            self._onChoice()

    def leave(self) -> None:
        self._stop()

    def release(self) -> None:
        self._components.shown.disconnect(self.update)
        super().release()

    def _stop(self) -> None:
        """Nothing is previewed, and brushes paint everywhere."""
        self._preview.hide()
        self._where = self._shownName = self._segments = None
        self._region.setVisible(False)
        ui = self.ui
        buttons = ui.workPreviewButton, ui.workMaskCheckBox, ui.workBrushButton
        with signalsBlocked(*buttons):
            for button in buttons:
                button.checked = False
        self._editing.endRegion()
        self._editing.editor.paintEverywhere()
        self._say("")

    def _offerSegments(self, segmentationNode) -> None:
        segments = component_masks.segmentsOf(segmentationNode)
        combo = self.ui.workSegmentComboBox
        if segments != self._offered:
            self._offered, before = segments, combo.itemData(combo.currentIndex)
            with signalsBlocked(combo):
                combo.clear()
                for segmentId, name in segments:
                    combo.addItem(name, segmentId)
                combo.addItem(_("A new segment"), "")
                combo.currentIndex = max(0, combo.findData(before) if before is not None else 0)

    @property
    def _segmentId(self) -> str | None:
        """The chosen segment; None is a new one."""
        combo = self.ui.workSegmentComboBox
        return combo.itemData(combo.currentIndex) or None

    @property
    def _operation(self) -> Operation:
        combo = self.ui.workOperationComboBox
        return Operation(combo.itemData(combo.currentIndex))

    @property
    def _place(self) -> str:
        """Where something may change."""
        combo = self.ui.workPlaceComboBox
        return combo.itemData(combo.currentIndex)

    def _whereKey(self) -> tuple:
        """What the place depends on."""
        place = self._place
        lesion = self._logic.selectedLesion if place == AT_LESION else None
        return place, self._own.segmentation.GetID(), lesion

    def _onChoice(self, *ignored) -> None:
        self._where = None
        isNew = self._segmentId is None
        operations = self.ui.workOperationComboBox
        if isNew and self._operation is not Operation.add:
            with signalsBlocked(operations):
                operations.currentIndex = operations.findData(Operation.add.value)
        operations.enabled = not isNew
        isBrushed = self._place == BRUSHED
        self.ui.workBrushButton.visible = isBrushed
        self.ui.workBrushButton.checked = self.ui.workBrushButton.checked and isBrushed
        self._region.setVisible(isBrushed)
        self._propose()

    def _onLevel(self, *ignored) -> None:
        self._propose()
        if self.ui.workMaskCheckBox.checked:
            self._onMask(True)

    def _onPreview(self, shown: bool) -> None:
        self._where = None
        self._propose()

    def _propose(self) -> None:
        """Show what would change, if that is wanted."""
        if not self.ui.workPreviewButton.checked:
            self._preview.hide()
            self._say("")
            return
        try:
            patch = self._change()
        except SceneError as error:
            self._preview.hide()
            self._say(str(error), isError=True)
            return
        voxels = component_masks.changedVoxels(patch, self._segmentId)
        scan = referenceVolumeOf(self._own.segmentation)
        adding = self._operation is Operation.add
        self._preview.show(voxels, scan, GAINED if adding else LOST)
        volume = voxelMl(scan) * int(voxels.sum())
        text = _("Adds {volume} mL.") if adding else _("Takes {volume} mL away.")
        self._say(text.format(volume=rounded(volume, 2)))

    def _change(self) -> Patch:
        node, segmentationNode = self._components.shownNode, self._own.segmentation
        part = self.ui.workLevelSlider.value / 100
        active = component_masks.activeMask(node, part, segmentationNode)
        where = self._placeMask(segmentationNode)
        if self._segments is None or self._segments.segmentationNode is not segmentationNode:
            self._segments = SegmentMasks(segmentationNode)
        return component_masks.changeOf(
            self._segments, self._segmentId, self._operation, active, where
        )

    def _placeMask(self, segmentationNode) -> np.ndarray | None:
        key = self._whereKey()
        moves = key[0] in (IN_BOX, BRUSHED)
        if self._where is None or self._where[0] != key or moves:
            place, mask = key[0], None
            if place == AT_LESION:
                lesion = self._logic.selectedLesion
                if lesion is None:
                    raise SceneError(_("Choose a lesion in the review first."))
                mask = component_masks.atLesion(segmentationNode, lesion)
            elif place == IN_BOX:
                mask = component_masks.inBox(segmentationNode, self._box())
            elif place == BRUSHED:
                mask = self._region.mask(referenceVolumeOf(segmentationNode))
            self._where = key, mask
        return self._where[1]

    def _box(self):
        return self._parameters.inputs.box if self._parameters is not None else None

    def _onBrush(self, brushing: bool) -> None:
        """Paint the region in the views, until the button is pressed again."""
        if not brushing:
            self._editing.endRegion()
            self._propose()
            return
        node = self._region.on(referenceVolumeOf(self._own.segmentation))
        self._region.setVisible(True)
        self._editing.paintRegion(node, SEGMENT)
        self._say(_("Paint the region in the slice views; press Brush again when it is done."))

    def _onApply(self) -> None:
        self.ui.workBrushButton.checked = False
        self._where = None  # the lesion may have been edited since
        try:
            patch = self._change()
        except SceneError as error:
            self._say(str(error), isError=True)
            return
        if not component_masks.changedVoxels(patch, self._segmentId).any():
            self._say(_("Nothing would change; move 'Strong from' or choose another place."))
            return
        node, name = self._own.segmentation, self._components.shownNode.GetName()
        step = patch if self._segmentId else NewSegment(node, name, patch)
        with signalsBlocked(self.ui.workPreviewButton):
            self.ui.workPreviewButton.checked = False
        self._propose()
        done = _("Done; Undo in the review takes it back.")
        if isinstance(step, NewSegment) and self._segments and step.overlaps(self._segments):
            done = _("{done} Reports leave it out, since it overlaps other segments.").format(
                done=done
            )
        step.apply()
        title = _("segment changed by a component")
        if isinstance(step, NewSegment):
            title = _("component made a segment")
        self._logic.history.add(Step(title, step.undo, step.apply, (node,)))
        self._say(done)
        self._logic.notify()

    def _onMask(self, masked: bool) -> None:
        node, editor = self._components.shownNode, self._editing.editor
        if not masked or node is None:
            editor.paintEverywhere()
            return
        try:
            low, high = component_masks.activeRange(node, self.ui.workLevelSlider.value / 100)
        except SceneError as error:
            with signalsBlocked(self.ui.workMaskCheckBox):
                self.ui.workMaskCheckBox.checked = False
            editor.paintEverywhere()
            self._say(str(error), isError=True)
            return
        editor.paintOnlyWhere(self._own.segmentation, node, low, high)
        self._say(_("Brushes under 'Edit by hand' in the review keep to the component now."))

    def _say(self, sentence: str, isError: bool = False) -> None:
        self._color.setKind(WARNING if isError else "")
        self.ui.workLabel.text = sentence
        self.ui.workLabel.visible = bool(sentence)
