"""Component heatmaps over the scan: evidence and activity, only peaks drawn, with a legend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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

EVIDENCE_COLOR_MAP = "Factorizer evidence"
EVIDENCE_COLORS = (
    (0.00, 0.020, 0.190, 0.380),
    (0.25, 0.260, 0.580, 0.760),
    (0.50, 0.970, 0.970, 0.970),
    (0.75, 0.960, 0.560, 0.390),
    (1.00, 0.700, 0.090, 0.170),
)
"""From against (blue) over nothing to for (red), as dark on both sides."""

EVIDENCE, ACTIVITY = "evidence", "activity"
"""What a component contributes where, and where it is active."""

EVIDENCE_REFERENCE = "FactorizerSegmentation.Evidence"
"""Node reference from an activity map to the evidence map of the same component."""

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
        percentiles: The 0th, 1st, ... 100th percentile inside the head of the activation or, of
            evidence, of its size where it has the sign that is drawn.
        kind: `EVIDENCE` or `ACTIVITY`.
    """

    component: Component
    percentiles: tuple[float, ...]
    kind: str = ACTIVITY

    @property
    def sign(self) -> int:
        """What is drawn: 1 for what is positive, -1 for evidence of one that speaks against."""
        contribution = self.component.contributions.get(self.component.region, 0.0)
        return -1 if self.kind == EVIDENCE and contribution < 0 else 1

    @property
    def window(self) -> tuple[float, float]:
        """The display range."""
        return self.component.evidence_window if self.kind == EVIDENCE else self.component.window


def createHeatmap(
    scene, component: Component, file: ScanFile, place: Place, kind: str = ACTIVITY, evidence=None
):
    """A new volume node that shows where a component is active, or what it contributes where.

    All of a kind share a colour map, and within a block a window. The `DEFAULT_SHOWN_PART` of the
    head where the component is most active, or contributes most, is drawn. Values are rounded to a
    255th of the window, which no colour map resolves, and are 0 outside the head; so a saved scene
    stays small.

    Args:
        file: The map, on the grid of `place`.
        kind: `EVIDENCE` or `ACTIVITY`.
        evidence: Of an activity map, the node of the evidence that leads it (see `mapOf`).
    """
    values, scan = file.load(), voxelsOf(place.volumeNode) if place.volumeNode else None
    sign = Heatmap(component, (), kind).sign
    percentiles = _percentilesInHead(np.maximum(sign * values, 0), scan)
    heatmap = Heatmap(component, tuple(percentiles), kind)
    name = _("{name} (evidence)") if kind == EVIDENCE else _("{name} (activity)")
    compact = _compact(values, scan, heatmap.window)
    node = createVolume(scene, compact, place, name.format(name=component.name))
    node.SetAttribute(ROLE_ATTRIBUTE, HEATMAP_ROLE)
    content = {"component": component.to_dict(), "percentiles": percentiles, "kind": kind}
    node.SetAttribute(COMPONENT_ATTRIBUTE, json.dumps(content))
    if evidence is not None:
        node.SetNodeReferenceID(EVIDENCE_REFERENCE, evidence.GetID())
    _setDisplay(node, heatmap)
    return node


def mapOf(scene, node, kind: str):
    """The map of that kind of the component that `node` leads; `node` itself if there is none."""
    if kind == ACTIVITY:
        for other in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
            if other.GetNodeReferenceID(EVIDENCE_REFERENCE) == node.GetID():
                return other
    return node


def isLeading(node) -> bool:
    """Whether a heatmap stands for its component: evidence, or activity without evidence."""
    return isHeatmap(node) and node.GetNodeReference(EVIDENCE_REFERENCE) is None
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
    kind = EVIDENCE if content.get("kind") == EVIDENCE else ACTIVITY
    return Heatmap(component, percentiles, kind) if len(percentiles) == 101 else None


def isHeatmap(node) -> bool:
    """Whether `createHeatmap` made the node."""
    return heatmapOf(node) is not None


def perceptualColorNode(scene):
    """A colour node whose lightness rises evenly with the value."""
    return _colorNode(scene, (*COLOR_MAPS, OWN_COLOR_MAP), OWN_COLORS)


def evidenceColorNode(scene):
    """A colour node for values of both signs."""
    return _colorNode(scene, (EVIDENCE_COLOR_MAP,), EVIDENCE_COLORS)


def _colorNode(scene, names: Sequence[str], colors: Sequence[tuple[float, ...]]):
    """The first node of those names, or a new one of the last name with those colours."""
    known = slicer.util.getNodesByClass("vtkMRMLColorNode", scene)
    for name in names:
        for node in known:
            if node.GetName() == name:
                return node
    node = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", names[-1])
    for position, red, green, blue in colors:
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
    # The whole range has to be set: values beyond the window are still to be drawn.
    low, high = heatmap.window
    voxels = voxelsOf(node)
    if heatmap.sign < 0:
        display.SetThreshold(min(low, -level, float(voxels.min())), -level)
    else:
        display.SetThreshold(level, max(high, level, float(voxels.max())))
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


def _setDisplay(node, heatmap: Heatmap) -> None:
    scene = node.GetScene()
    isEvidence = heatmap.kind == EVIDENCE
    colors = evidenceColorNode(scene) if isEvidence else perceptualColorNode(scene)
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # it would look at every voxel
    display.SetWindowLevelMinMax(*heatmap.window)
    display.SetAutoThreshold(False)
    display.SetAndObserveColorNodeID(colors.GetID())
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    drawPeaks(node, DEFAULT_SHOWN_PART)


def _showLegend(node) -> None:
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
    if legend is None:
        return
    heatmap = heatmapOf(node)
    isEvidence = heatmap is not None and heatmap.kind == EVIDENCE
    title = _("Logits per mL") if isEvidence else _("Activation")
    legend.SetTitleText(title)
    legend.SetLabelFormat("%.2g" if isEvidence else "%.2f")
    legend.SetNumberOfLabels(5)
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(*LEGEND_POSITION)
    legend.SetVisibility(True)
