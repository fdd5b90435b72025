"""The panel in which a lesion is added or removed by a click."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor
from FactorizerSegmentationLib.scene.adjustment import canAdjust
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf, seedsOf
from FactorizerSegmentationLib.scene.placing import Point, PointPlacement
from FactorizerSegmentationLib.scene.probabilities import LOWEST
from FactorizerSegmentationLib.scene.proposals import Growth, Masks, ProposalPreview, massAround
from FactorizerSegmentationLib.scene.tables import REJECTED, lesionsOf
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.verdicts import decide, problem
from FactorizerSegmentationLib.scene.volumes import localAffine, voxelMl

ADDED_COLOR, REMOVED_COLOR = (90, 200, 255), (255, 90, 200)


class ProposalPanel(Panel):
    """Add or Remove; a click into a view; the proposal over the scan; Accept or Discard.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str) -> None:
        super().__init__(logic, uiPath)
        self._preview = ProposalPreview()
        self._growth: Growth | None = None
        self._masks: Masks = {}
        self._onPlaced: Callable[[Point], None] = self._proposeAdding
        self._placement = PointPlacement(lambda place: self._onPlaced(place), self.update)
        self._color = TextColor(self.ui.proposalLabel)
        self.ui.addLesionButton.connect("clicked()", lambda: self._wait(self._proposeAdding))
        self.ui.removeLesionButton.connect("clicked()", lambda: self._wait(self._proposeRemoving))
        self.ui.proposalSlider.connect("valueChanged(double)", self._onLevel)
        self.ui.acceptProposalButton.connect("clicked()", self._onAccept)
        self.ui.discardProposalButton.connect("clicked()", self.leave)

    def forget(self) -> None:
        self.leave()

    def show(self) -> None:
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        ui, node = self.ui, self._own.segmentation
        ui.proposalBox.visible = self._own.lesionTable is not None
        reason = problem(node)
        canGrow = reason or ("" if canAdjust(node) else _("Needs the result's probability maps."))
        for button, wanted, why, tip in (
            (
                ui.addLesionButton,
                self._proposeAdding,
                canGrow,
                _("Click into a lesion that was missed; what the model sees there is proposed."),
            ),
            (
                ui.removeLesionButton,
                self._proposeRemoving,
                reason,
                _("Click onto a lesion that is wrong; it is shown before it goes."),
            ),
        ):
            button.enabled = not why and not self._logic.busy
            button.toolTip = why or tip
            button.checked = self._placement.waiting and self._onPlaced == wanted
        ui.decisionWidget.visible = bool(self._masks)
        ui.proposalSlider.visible = self._growth is not None
        ui.proposalLabel.visible = bool(ui.proposalLabel.text)

    def onNodesRemoved(self) -> None:
        """The result or its scan may have been deleted in the scene."""
        if self._parameters is not None and problem(self._own.segmentation):
            self.leave()

    def leave(self) -> None:
        """Discard what is proposed, and wait for no click."""
        self._placement.stop()
        self._clear()
        self.update()

    def _clear(self) -> None:
        self._preview.hide()
        self._growth, self._masks = None, {}
        self._say("")

    def _wait(self, onPlaced: Callable[[Point], None]) -> None:
        """Wait for a click, or stop waiting if the same button was clicked again."""
        again = self._placement.waiting and self._onPlaced == onPlaced
        self.leave()
        if not again and self._parameters is not None:
            self._onPlaced = onPlaced
            self._placement.start(slicer.mrmlScene)
            self._say(_("Click into a slice view."))
            self.update()

    def _proposeAdding(self, place: Point) -> None:
        self._clear()
        try:
            growth = Growth(self._own.segmentation, place)
        except SceneError as error:
            self._say(str(error), isError=True)
        else:
            self._growth = growth
            slider = self.ui.proposalSlider
            with signalsBlocked(slider):
                slider.minimum, slider.maximum = 100 * LOWEST, 100 * growth.highest
                slider.value = 100 * growth.proposedLevel
            self._onLevel(slider.value)
        self.update()

    def _proposeRemoving(self, place: Point) -> None:
        self._clear()
        try:
            self._propose(massAround(self._own.segmentation, place))
        except SceneError as error:
            self._say(str(error), isError=True)
        self.update()

    def _onLevel(self, percent: float) -> None:
        if self._growth is not None:
            self._propose(self._growth.masks(percent / 100))

    def _propose(self, masks: Masks) -> None:
        self._masks = masks
        scan = referenceVolumeOf(self._own.segmentation)
        whole = np.any(list(masks.values()), axis=0)
        growing = self._growth is not None
        self._preview.show(whole, scan, ADDED_COLOR if growing else REMOVED_COLOR)
        volume = voxelMl(scan) * int(whole.sum())
        text = _("Add {volume} mL?") if growing else _("Remove {volume} mL?")
        self._say(text.format(volume=rounded(volume, 2)))

    def _onAccept(self) -> None:
        masks, growing = self._masks, self._growth is not None
        self.leave()
        if not masks:
            return
        lesion = None if growing else self._listed(masks)
        node = self._own.segmentation
        if lesion is not None:
            decide(node, self._own.lesionTable, lesion, REJECTED, self._logic.history)
        else:
            added, removed = (masks, {}) if growing else ({}, masks)
            affine = localAffine(referenceVolumeOf(node))
            patch = Patch(node, added, removed, affine, byHand=True)
            patch.apply()
            title = _("lesion added") if growing else _("lesion removed")
            self._logic.history.add(Step(title, patch.undo, patch.apply, (node,)))
        self._logic.notify()

    def _listed(self, masks: Masks):
        """The lesion of the list that is there, or None."""
        whole = np.any(list(masks.values()), axis=0)
        scan = referenceVolumeOf(self._own.segmentation)
        for lesion in lesionsOf(self._own.lesionTable):
            seeds = seedsOf(lesion, scan)
            inside = seeds[((seeds >= 0) & (seeds < whole.shape)).all(axis=1)]
            if whole[tuple(inside.T)].any():
                return lesion
        return None

    def _say(self, sentence: str, isError: bool = False) -> None:
        self._color.setKind(WARNING if isError else "")
        self.ui.proposalLabel.text = sentence
        self.ui.proposalLabel.visible = bool(sentence)
