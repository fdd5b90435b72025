"""Heatmaps over the scan: one with its legend, or two in two colours."""

from __future__ import annotations

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.painting import FULL_LEVEL
from FactorizerSegmentationLib.scene.color_maps import ColorMap, activityMaps, chosenMap, pairMap
from FactorizerSegmentationLib.scene.explanations import Step
from FactorizerSegmentationLib.scene.heatmaps import (
    EVIDENCE,
    Heatmap,
    draw,
    drawPeaks,
    hasVoxels,
    heatmapOf,
)
from FactorizerSegmentationLib.scene.layers import (
    AdditionalLayer,
    ForegroundLayer,
    SegmentOutlines,
    dropFromViews,
)
from FactorizerSegmentationLib.scene.probabilities import LOWEST
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.shown_map import ShownMap, isShownMap

LEGEND_SIZE, LEGEND_POSITION = (0.09, 0.4), (0.97, 0.5)
"""In parts of the view."""


@dataclass(frozen=True)
class Look:
    """How heatmaps are drawn.

    Attributes:
        opacity: 0 to 1.
        shownPart: Part of the head that is coloured, 0 to 1: where it is most active.
        colors: Name of the colour map; the usual one where it does not suit.
        smooth: Between voxels; otherwise every voxel of a component's block is seen as it is.
    """

    opacity: float = 0.6
    shownPart: float = 0.05
    colors: str = ""
    smooth: bool = True


class HeatmapOverlay:
    """The heatmaps that are shown over the scan now, if any, with a legend of the first.

    Slice views draw no legend of a volume above the foreground.

    Meanwhile segments are outlines only: their fill would change the heatmaps' colours.
    """

    def __init__(self) -> None:
        self._layer = ForegroundLayer()
        self._second = AdditionalLayer()
        self._outlines = SegmentOutlines()
        self._maps = ShownMap(), ShownMap()
        self._steps: list[Step] = []
        self._probabilityId: str | None = None

    @property
    def nodeId(self) -> str | None:
        """Id of the volume that is shown, of two the first."""
        return self._probabilityId or self._maps[0].nodeId

    @property
    def step(self) -> Step | None:
        """The heatmap that is shown, of two the first, as far as it is known."""
        return self._steps[0] if self._steps else None

    def show(self, scene, step: Step, look: Look, second: Step | None = None) -> None:
        """Show one heatmap, or two in two colours, in all slice views."""
        self._probabilityId = None
        self._steps = [step] if second is None else [step, second]
        node = self._maps[0].show(scene, step, not look.smooth)
        _draw(node, step.heatmap, look, None if second is None else 0)
        _showLegend(node, step.heatmap)
        self._layer.show(node, look.opacity)
        if second is not None:
            other = self._maps[1].show(scene, second, not look.smooth)
            _draw(other, second.heatmap, look, 1)
            self._second.show(other, _shared(look.opacity))
        else:
            self._hideSecond(scene)
        self._outlines.show(scene)

    def showProbability(self, mapNode) -> None:
        """Show a probability map in place of heatmaps, where it is at least `LOWEST`."""
        scene = mapNode.GetScene()
        self._probabilityId, self._steps = mapNode.GetID(), []
        if mapNode.GetDisplayNode() is None:
            mapNode.CreateDefaultDisplayNodes()
            mapNode.GetDisplayNode().SetSaveWithScene(mapNode.GetSaveWithScene())
        display = mapNode.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetAutoThreshold(False)
        display.SetThreshold(LOWEST * FULL_LEVEL, FULL_LEVEL)
        display.SetApplyThreshold(True)
        draw(mapNode, activityMaps()[0], (0.0, FULL_LEVEL), smooth=True)
        self._layer.show(mapNode, Look().opacity)
        self._hideSecond(scene)
        self._maps[0].remove(scene)
        self._outlines.show(scene)

    def adopt(self, scene) -> None:
        """Take heatmaps for shown that a scene file has brought into the slice views.

        One whose voxels the file did not bring leaves them, and a second one without the first.
        """
        first, second = self._maps
        strange = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
            if isShownMap(node) and node.GetID() not in (first.nodeId, second.nodeId)
        ]
        for shown, layer in ((first, self._layer), (second, self._second)):
            for node in strange if shown is first or first.nodeId is not None else ():
                if shown.nodeId is None and hasVoxels(node) and layer.adopt(scene, node):
                    shown.adopt(node)
        for node in strange:
            if node.GetID() not in (first.nodeId, second.nodeId):
                dropFromViews(scene, node)
                removeWithDisplays(node)
        if self.nodeId is None:
            self._outlines.restore(scene)

    def adopted(self, scene) -> list[Heatmap]:
        """What is shown of which it is not known to which steps it belongs, of two the first first.

        See `adopt`.
        """
        ids = [shown.nodeId for shown in self._maps if shown.nodeId] if not self._steps else []
        nodes = filter(None, map(scene.GetNodeByID, ids))
        return [heatmap for heatmap in map(heatmapOf, nodes) if heatmap is not None]

    def isStale(self, scene) -> bool:
        """Whether what is shown was deleted in the scene."""
        nodeId = self.nodeId
        isGone = nodeId is not None and scene.GetNodeByID(nodeId) is None
        return isGone or not all(step.exists for step in self._steps)

    def renewOutlines(self, scene) -> None:
        """Take the fill from segments that have come since, too."""
        if self.nodeId is not None:
            self._outlines.show(scene)

    def setOpacity(self, scene, opacity: float) -> None:
        """Change the opacity, 0 to 1, of what is shown."""
        self._layer.setOpacity(scene, opacity)
        self._second.setOpacity(scene, _shared(opacity))

    def setShownPart(self, scene, shownPart: float) -> None:
        """Colour only this part of the head, where the component is most active, 0 to 1."""
        for shown in self._maps:
            node = scene.GetNodeByID(shown.nodeId) if shown.nodeId else None
            if node is not None:
                drawPeaks(node, shownPart)

    def hide(self, scene) -> None:
        """Put the slice views back as they were before the first heatmap."""
        self._layer.restore(scene)
        self._hideSecond(scene)
        self._maps[0].remove(scene)
        self._outlines.restore(scene)
        self._probabilityId, self._steps = None, []

    def forget(self) -> None:
        """Drop all state, as when the scene was closed."""
        for part in (self._layer, self._second, *self._maps):
            part.forget()
        self._probabilityId, self._steps = None, []

    def _hideSecond(self, scene) -> None:
        self._second.hide(scene)
        self._maps[1].remove(scene)


def _draw(node, heatmap: Heatmap, look: Look, place: int | None) -> None:
    """Colour a heatmap as the only one (None), or as the first or second of two."""
    low, high = heatmap.window
    colorMap: ColorMap = chosenMap(heatmap.colorMaps, look.colors)
    if place is not None:
        low, high = (low, 0.0) if heatmap.sign < 0 else (0.0, high)
        colorMap = pairMap(second=place == 1, falling=heatmap.sign < 0)
    draw(node, colorMap, (low, high), look.smooth)
    drawPeaks(node, look.shownPart)


def unitOf(heatmap: Heatmap) -> str:
    """The unit of the values of a map, and in a second line for which region they speak."""
    if heatmap.kind != EVIDENCE:
        return _("Activity")
    unit, region = _("Logits per mL"), heatmap.component.region
    return "\n".join((unit, _("for {region}").format(region=region))) if region else unit


def _shared(opacity: float) -> float:
    """The opacity of a layer with which it and the one below it weigh the same."""
    return opacity / (1 + opacity)


def _showLegend(node, heatmap: Heatmap) -> None:
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is None:
        return
    isEvidence = heatmap.kind == EVIDENCE
    with slicer.util.NodeModify(legend):
        legend.SetTitleText(unitOf(heatmap))
        legend.SetLabelFormat("%.2g" if isEvidence else "%.2f")
        legend.SetNumberOfLabels(5)
        legend.SetSize(*LEGEND_SIZE)
        legend.SetPosition(*LEGEND_POSITION)
        legend.SetVisibility(True)
