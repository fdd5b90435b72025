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
from FactorizerSegmentationLib.scene.subjects import putIntoFolder
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


def createHeatmaps(
    scene,
    components: Iterable[tuple[Component, ScanFile]],
    place: Place,
    folderName: str,
    evidence: Sequence[ScanFile] = (),
) -> list:
    """New volume nodes, one or two per component, that share a colour map a kind.

    Of each, the `DEFAULT_SHOWN_PART` of the head where the component contributes or is active most
    is drawn.

    Args:
        components: Each with the file of its activity, on the grid of `place`.
        folderName: Subject hierarchy folder that takes the nodes, beside the reference volume.
        evidence: Of every component, the file of its evidence.

    Returns:
        One node per component: its evidence, or without that its activity (see `mapOf`).
    """
    scan = voxelsOf(place.volumeNode)
    nodes, leading = [], []
    for number, (component, file) in enumerate(components):
        first = None
        if evidence:
            first = _createMap(scene, component, evidence[number], place, scan, EVIDENCE)
        activity = _createMap(scene, component, file, place, scan, ACTIVITY)
        if first is not None:
            activity.SetNodeReferenceID(EVIDENCE_REFERENCE, first.GetID())
            nodes.append(first)
        nodes.append(activity)
        leading.append(first or activity)
    if nodes:
        putIntoFolder(nodes, place.volumeNode, folderName)
    return leading


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


def _createMap(scene, component: Component, file: ScanFile, place: Place, scan, kind: str):
    values = file.load()
    suffix = _("{name} (evidence)") if kind == EVIDENCE else _("{name} (activity)")
    node = createVolume(scene, values, place, suffix.format(name=component.name))
    node.SetAttribute(ROLE_ATTRIBUTE, HEATMAP_ROLE)
    sign = Heatmap(component, (), kind).sign
    percentiles = _percentilesInHead(np.maximum(sign * values, 0), scan)
    content = {"component": component.to_dict(), "percentiles": percentiles, "kind": kind}
    node.SetAttribute(COMPONENT_ATTRIBUTE, json.dumps(content))
    _setDisplay(node, Heatmap(component, tuple(percentiles), kind))
    return node


def heatmapOf(node) -> Heatmap | None:
    """What a node that `createHeatmaps` made shows; None for other nodes."""
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
    """Whether `createHeatmaps` made the node."""
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
    bottom, top = node.GetImageData().GetScalarRange()
    if heatmap.sign < 0:
        display.SetThreshold(min(heatmap.window[0], -level, bottom), -level)
    else:
        display.SetThreshold(level, max(heatmap.window[1], level, top))
    display.SetApplyThreshold(True)


def _percentilesInHead(heatmap: np.ndarray, scan: np.ndarray) -> list[float]:
    """The 0th to 100th percentile of a heatmap where the scan on the same grid is not zero."""
    values = heatmap[scan != 0] if scan.any() else heatmap.ravel()
    few = values[:: 1 + values.size // _PERCENTILE_VOXELS]
    return np.percentile(few, range(101)).tolist()


def _setDisplay(node, heatmap: Heatmap) -> None:
    scene = node.GetScene()
    isEvidence = heatmap.kind == EVIDENCE
    colors = evidenceColorNode(scene) if isEvidence else perceptualColorNode(scene)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*heatmap.window)
    display.SetAutoThreshold(False)
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
