"""Component heatmaps over the scan: one window, one colour map, only peaks drawn, a legend."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.messages import ProtocolError
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.layers import ForegroundLayer, SegmentOutlines, compositeNodes
from FactorizerSegmentationLib.scene.volumes import (
    ROLE_ATTRIBUTE,
    Place,
    createVolume,
    voxelsOf,
)

HEATMAP_ROLE = "Heatmap"
COMPONENT_ATTRIBUTE = "FactorizerSegmentation.Component"
COLOR_MAPS = ("Inferno", "Viridis")
OWN_COLOR_MAP = "Factorizer heat"
OWN_COLORS = (
    (0.00, 0.001, 0.000, 0.014),
    (0.25, 0.342, 0.062, 0.429),
    (0.50, 0.736, 0.216, 0.330),
    (0.75, 0.978, 0.557, 0.035),
    (1.00, 0.988, 0.998, 0.645),
)
"""Position, red, green, blue: lightness rises evenly, for applications without `COLOR_MAPS`."""

DEFAULT_SHOWN_PART = 0.05
"""Part of the head that a heatmap colours at first: where it is most active."""

_PERCENTILE_VOXELS = 200_000
"""Enough for percentiles, and few enough not to hold up the window."""

LEGEND_SIZE, LEGEND_POSITION = (0.09, 0.4), (0.97, 0.5)
"""In parts of the view."""


@dataclass(frozen=True)
class Heatmap:
    """What a heatmap node shows.

    Attributes:
        component: The component.
        percentiles: The 0th, 1st, ... 100th percentile of the activation inside the head.
    """

    component: Component
    percentiles: tuple[float, ...]


def createHeatmap(scene, component: Component, file: ScanFile, place: Place):
    """A new volume node that shows where a component is active.

    All share a colour map, and within a block a window. The `DEFAULT_SHOWN_PART` of the head where
    the component is most active is drawn. Values are rounded to a 255th of the window, which no
    colour map resolves, and are 0 outside the head; so a saved scene stays small.

    Args:
        file: The heatmap, on the grid of `place`.
    """
    heatmap, scan = file.load(), voxelsOf(place.volumeNode) if place.volumeNode else None
    percentiles = _percentilesInHead(heatmap, scan)
    compact = _compact(heatmap, scan, component.window)
    node = createVolume(scene, compact, place, component.name)
    node.SetAttribute(ROLE_ATTRIBUTE, HEATMAP_ROLE)
    content = {"component": component.to_dict(), "percentiles": percentiles}
    node.SetAttribute(COMPONENT_ATTRIBUTE, json.dumps(content))
    _setDisplay(node, perceptualColorNode(scene), component.window)
    return node


def heatmapOf(node) -> Heatmap | None:
    """What a node that `createHeatmap` made shows; None for other nodes."""
    if node.GetAttribute(ROLE_ATTRIBUTE) != HEATMAP_ROLE:
        return None
    try:
        content = json.loads(node.GetAttribute(COMPONENT_ATTRIBUTE))
        component = Component.from_dict(content["component"])
        percentiles = tuple(map(float, content["percentiles"]))
    except (TypeError, ValueError, KeyError, ProtocolError):  # a scene file can hold anything
        return None
    return Heatmap(component, percentiles) if len(percentiles) == 101 else None


def isHeatmap(node) -> bool:
    """Whether `createHeatmap` made the node."""
    return heatmapOf(node) is not None


def perceptualColorNode(scene):
    """A colour node whose lightness rises evenly with the value."""
    known = slicer.util.getNodesByClass("vtkMRMLColorNode", scene)
    for name in (*COLOR_MAPS, OWN_COLOR_MAP):
        for node in known:
            if node.GetName() == name:
                return node
    node = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", OWN_COLOR_MAP)
    for position, red, green, blue in OWN_COLORS:
        node.GetColorTransferFunction().AddRGBPoint(position, red, green, blue)
    return node


class HeatmapOverlay:
    """The heatmap that is shown over the scan now, if any, with its legend.

    Meanwhile segments are outlines only: their fill would change the heatmap's colours.
    """

    def __init__(self) -> None:
        self._layer = ForegroundLayer()
        self._outlines = SegmentOutlines()
        self._nodeId: str | None = None

    @property
    def nodeId(self) -> str | None:
        """Id of the heatmap that is shown."""
        return self._nodeId

    def show(self, node, opacity: float, shownPart: float) -> None:
        """Show one heatmap in all slice views.

        Args:
            opacity: 0 to 1.
            shownPart: Part of the head that is coloured, 0 to 1: where it is most active.
        """
        self._hideLegend(node.GetScene())
        self._nodeId = node.GetID()
        self.setShownPart(node.GetScene(), shownPart)
        self._layer.show(node, opacity)
        self._outlines.show(node.GetScene())
        _showLegend(node)

    def adopt(self, scene, nodes: Iterable[Any]) -> None:
        """Take a heatmap for shown that a scene file has brought into the foreground."""
        shown = {composite.GetForegroundVolumeID() for composite in compositeNodes(scene)}
        for node in nodes:
            if self._nodeId is None and node.GetID() in shown:
                self._nodeId = node.GetID()
                self._layer.adopt(scene, node)

    def setOpacity(self, scene, opacity: float) -> None:
        """Change the opacity, 0 to 1, of what is shown."""
        self._layer.setOpacity(scene, opacity)

    def setShownPart(self, scene, shownPart: float) -> None:
        """Colour only this part of the head, where the component is most active, 0 to 1."""
        node = scene.GetNodeByID(self._nodeId) if self._nodeId else None
        if node is not None:
            drawPeaks(node, shownPart)

    def hide(self, scene) -> None:
        """Put the slice views back as they were before the first heatmap."""
        self._hideLegend(scene)
        self._layer.restore(scene)
        self._outlines.restore(scene)
        self._nodeId = None

    def forget(self) -> None:
        """Drop all state, as when the scene was closed."""
        self._layer.forget()
        self._outlines.forget()
        self._nodeId = None

    def _hideLegend(self, scene) -> None:
        node = scene.GetNodeByID(self._nodeId) if self._nodeId else None
        legend = node and slicer.modules.colors.logic().GetColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetVisibility(False)


def drawPeaks(node, shownPart: float) -> None:
    """Draw a heatmap only where it is most active: in this part (0 to 1) of the head.

    Where it is not active at all nothing is drawn.
    """
    heatmap = heatmapOf(node)
    if heatmap is None:
        return
    level = float(np.interp(100 * (1 - shownPart), range(101), heatmap.percentiles))
    level = max(level, float(np.finfo(np.float32).tiny))
    display = node.GetDisplayNode()
    # The whole range has to be set: values above the window are still to be drawn.
    top = max(heatmap.component.window[1], level, float(voxelsOf(node).max()))
    display.SetThreshold(level, top)
    display.SetApplyThreshold(True)


def _percentilesInHead(heatmap: np.ndarray, scan: np.ndarray | None) -> list[float]:
    """The 0th to 100th percentile of a heatmap where the scan on the same grid is not zero."""
    every = max(1, round((heatmap.size / _PERCENTILE_VOXELS) ** (1 / 3)))
    few = (slice(None, None, every),) * 3
    values = heatmap[few]
    inHead = scan[few] != 0 if scan is not None else np.ones(values.shape, bool)
    return np.percentile(values[inHead] if inHead.any() else values, range(101)).tolist()


def _compact(
    heatmap: np.ndarray, scan: np.ndarray | None, window: tuple[float, float]
) -> np.ndarray:
    """The heatmap inside the head, in few different values; see `createHeatmap`."""
    rounded = np.array(heatmap, order="F")  # as Slicer has its voxels, see `volumes`
    step = np.float32((window[1] - window[0]) / 255)
    if step > 0:
        rounded /= step
        np.rint(rounded, out=rounded)
        rounded *= step
    if scan is not None and scan.any():
        rounded *= scan != 0
    return rounded


def _setDisplay(node, colors, window: tuple[float, float]) -> None:
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # it would look at every voxel
    display.SetWindowLevelMinMax(*window)
    display.SetAutoThreshold(False)
    display.SetAndObserveColorNodeID(colors.GetID())
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    drawPeaks(node, DEFAULT_SHOWN_PART)


def _showLegend(node) -> None:
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is None:
        return
    legend.SetTitleText(_("Activation"))
    legend.SetLabelFormat("%.2f")
    legend.SetNumberOfLabels(5)
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(*LEGEND_POSITION)
    legend.SetVisibility(True)
