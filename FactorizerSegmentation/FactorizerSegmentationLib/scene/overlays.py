"""Heatmaps over the scan: one with its legend, or two in two colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.painting import FULL_LEVEL
from FactorizerSegmentationLib.scene.color_maps import ColorMap, activityMaps, chosenMap, pairMap
from FactorizerSegmentationLib.scene.heatmaps import (
    EVIDENCE,
    draw,
    drawPeaks,
    hasVoxels,
    heatmapOf,
    isHeatmap,
)
from FactorizerSegmentationLib.scene.layers import (
    AdditionalLayer,
    ForegroundLayer,
    SegmentOutlines,
    dropFromViews,
)
from FactorizerSegmentationLib.scene.probabilities import LOWEST

LEGEND_SIZE, LEGEND_POSITION = (0.09, 0.4), (0.97, 0.5)
"""In parts of the view."""


@dataclass(frozen=True)
class Look:
    """How heatmaps are drawn.

    Attributes:
        opacity: 0 to 1.
        shownPart: Part of the head that is coloured, 0 to 1: where it is most active.
        colors: Name of the colour map; the usual one where it does not suit.
        smooth: Between voxels; otherwise every voxel is seen as it is.
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
        self._shownIds: list[str] = []

    @property
    def nodeId(self) -> str | None:
        """Id of the heatmap that is shown, of two the first."""
        return self._shownIds[0] if self._shownIds else None

    def show(self, node, look: Look, second: Any = None) -> None:
        """Show one heatmap, or two in two colours, in all slice views."""
        scene, nodes = node.GetScene(), [node] if second is None else [node, second]
        ids = [item.GetID() for item in nodes]
        self._hideLegends(scene, [nodeId for nodeId in self._shownIds if nodeId not in ids])
        self._shownIds = ids
        for index, item in enumerate(nodes):
            self._draw(item, look, index if second is not None else None)
        _showLegend(node)
        self._layer.show(node, look.opacity)
        if second is not None:
            self._second.show(second, _shared(look.opacity))
        else:
            self._second.hide(scene)
        self._outlines.show(scene)

    def showProbability(self, mapNode) -> None:
        """Show a probability map in place of heatmaps, where it is at least `LOWEST`."""
        scene = mapNode.GetScene()
        self._hideLegends(scene, self._shownIds)
        self._second.hide(scene)
        self._shownIds = [mapNode.GetID()]
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
        self._outlines.show(scene)

    def adopt(self, scene) -> None:
        """Take heatmaps for shown that a scene file has brought into the slice views.

        One whose voxels the file did not bring leaves them.
        """
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
            if not isHeatmap(node):
                continue
            if not hasVoxels(node):
                dropFromViews(scene, node)
            elif not self._shownIds and self._layer.adopt(scene, node):
                self._shownIds = [node.GetID()]
            else:
                self._second.adopt(scene, node)

    def setOpacity(self, scene, opacity: float) -> None:
        """Change the opacity, 0 to 1, of what is shown."""
        self._layer.setOpacity(scene, opacity)
        self._second.setOpacity(scene, _shared(opacity))

    def setShownPart(self, scene, shownPart: float) -> None:
        """Colour only this part of the head, where the component is most active, 0 to 1."""
        for nodeId in self._shownIds:
            node = scene.GetNodeByID(nodeId)
            if node is not None:
                drawPeaks(node, shownPart)

    def hide(self, scene) -> None:
        """Put the slice views back as they were before the first heatmap."""
        self._hideLegends(scene, self._shownIds)
        self._layer.restore(scene)
        self._second.hide(scene)
        self._outlines.restore(scene)
        self._shownIds = []

    def forget(self) -> None:
        """Drop all state, as when the scene was closed."""
        self._layer.forget()
        self._second.forget()
        self._outlines.forget()
        self._shownIds = []

    def _draw(self, node, look: Look, place: int | None) -> None:
        """Colour a heatmap as the only one (None), or as the first or second of two."""
        heatmap = heatmapOf(node)
        if heatmap is None:
            return
        low, high = heatmap.window
        colorMap: ColorMap = chosenMap(heatmap.colorMaps, look.colors)
        if place is not None:
            low, high = (low, 0.0) if heatmap.sign < 0 else (0.0, high)
            colorMap = pairMap(second=place == 1, falling=heatmap.sign < 0)
        draw(node, colorMap, (low, high), look.smooth)
        drawPeaks(node, look.shownPart)

    def _hideLegends(self, scene, ids: Iterable[str]) -> None:
        for node in filter(None, map(scene.GetNodeByID, ids)):
            legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(node)
            if legend is not None:
                legend.SetVisibility(False)


def unitOf(kind: str) -> str:
    """The unit of the values of a map, for people."""
    return _("Logits per mL") if kind == EVIDENCE else _("Activation")


def _shared(opacity: float) -> float:
    """The opacity of a layer with which it and the one below it weigh the same."""
    return opacity / (1 + opacity)


def _showLegend(node) -> None:
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    heatmap = heatmapOf(node)
    if legend is None or heatmap is None:
        return
    isEvidence = heatmap.kind == EVIDENCE
    with slicer.util.NodeModify(legend):
        legend.SetTitleText(unitOf(heatmap.kind))
        legend.SetLabelFormat("%.2g" if isEvidence else "%.2f")
        legend.SetNumberOfLabels(5)
        legend.SetSize(*LEGEND_SIZE)
        legend.SetPosition(*LEGEND_POSITION)
        legend.SetVisibility(True)
