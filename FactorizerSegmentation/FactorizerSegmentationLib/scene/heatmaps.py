"""Component heatmaps as volume nodes: evidence and activity, of which only peaks are drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.color_maps import (
    ColorMap,
    activityMaps,
    colorNodeOf,
    evidenceMaps,
)
from FactorizerSegmentationLib.scene.volumes import (
    ROLE_ATTRIBUTE,
    Place,
    createVolume,
    voxelsOf,
)

HEATMAP_ROLE = "Heatmap"
COMPONENT_ATTRIBUTE = "FactorizerSegmentation.Component"

EVIDENCE, ACTIVITY = "evidence", "activity"
"""What a component contributes where, and where it is active."""

EVIDENCE_REFERENCE = "FactorizerSegmentation.Evidence"
"""Node reference from an activity map to the evidence map of the same component."""

DEFAULT_SHOWN_PART = 0.05
"""Part of the head that a heatmap colours at first: where it is most active."""

_PERCENTILE_VOXELS = 200_000
"""Enough for percentiles, and few enough not to hold up the window."""


@dataclass(frozen=True)
class Explanation(Message):
    """What the heatmaps of one run explain.

    Attributes:
        number: Grows with every run in a scene.
        lesion: Number of the lesion that was explained; None if it was all that was found.
        note: What to know about the components, for people, or "".
    """

    number: int = 0
    lesion: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Heatmap:
    """What a heatmap node shows.

    Attributes:
        component: The component.
        percentiles: The 0th, 1st, ... 100th percentile inside the head of the activation or, of
            evidence, of its size where it has the sign that is drawn.
        kind: `EVIDENCE` or `ACTIVITY`.
        explanation: Of which it is a part.
    """

    component: Component
    percentiles: tuple[float, ...]
    kind: str = ACTIVITY
    explanation: Explanation = Explanation()

    @property
    def sign(self) -> int:
        """What is drawn: 1 for what is positive, -1 for evidence of one that speaks against."""
        contribution = self.component.contributions.get(self.component.region, 0.0)
        return -1 if self.kind == EVIDENCE and contribution < 0 else 1

    @property
    def window(self) -> tuple[float, float]:
        """The display range."""
        return self.component.evidence_window if self.kind == EVIDENCE else self.component.window

    @property
    def colorMaps(self) -> tuple[ColorMap, ...]:
        """Those that suit the values, the usual one first."""
        return evidenceMaps() if self.kind == EVIDENCE else activityMaps()

    def levelOf(self, shownPart: float) -> float:
        """The size of value above which lies this part (0 to 1) of the head; above 0."""
        level = np.interp(100 * (1 - shownPart), range(101), self.percentiles)
        return max(float(level), float(np.finfo(np.float32).tiny))


def createHeatmap(
    scene,
    component: Component,
    file: ScanFile,
    place: Place,
    kind: str = ACTIVITY,
    evidence=None,
    explanation: Explanation | None = None,
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
        explanation: Of which it is a part.
    """
    scan = voxelsOf(place.volumeNode) if place.volumeNode else None
    bare = Heatmap(component, (), kind)
    compact = _compact(file.load(), scan, bare.window)
    percentiles = _percentilesInHead(compact, scan, bare.sign)
    explanation = explanation or Explanation()
    heatmap = Heatmap(component, tuple(percentiles), kind, explanation)
    name = _("{name} (evidence)") if kind == EVIDENCE else _("{name} (activity)")
    node = createVolume(scene, compact, place, name.format(name=component.name))
    node.SetAttribute(ROLE_ATTRIBUTE, HEATMAP_ROLE)
    content = {
        "component": component.to_dict(),
        "percentiles": percentiles,
        "kind": kind,
        "explanation": explanation.to_dict(),
    }
    node.SetAttribute(COMPONENT_ATTRIBUTE, json.dumps(content))
    if evidence is not None:
        node.SetNodeReferenceID(EVIDENCE_REFERENCE, evidence.GetID())
    _addDisplay(node, heatmap)
    return node


def mapOf(scene, node, kind: str):
    """The map of that kind of the component that `node` leads; `node` itself if there is none."""
    if kind == ACTIVITY:
        for other in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
            led = other.GetNodeReferenceID(EVIDENCE_REFERENCE) == node.GetID()
            if led and hasVoxels(other):
                return other
    return node


def isLeading(node) -> bool:
    """Whether a heatmap stands for its component: evidence, or activity without evidence.

    A node whose voxels were not found when its scene was opened stands for nothing.
    """
    return hasVoxels(node) and isHeatmap(node) and not _isLed(node)


def leadingIn(scene) -> list:
    """The leading heatmaps of a scene, oldest first."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    return [node for node in volumes if isLeading(node)]


def _isLed(node) -> bool:
    """Whether an activity map has the evidence of its component beside it."""
    evidence = node.GetNodeReference(EVIDENCE_REFERENCE)
    return evidence is not None and hasVoxels(evidence)


def hasVoxels(node) -> bool:
    """Whether there is an image; the file of a saved scene may be lost."""
    image = node.GetImageData()
    return image is not None and image.GetNumberOfPoints() > 0


def heatmapOf(node) -> Heatmap | None:
    """What a node that `createHeatmap` made shows; None for other nodes."""
    if node.GetAttribute(ROLE_ATTRIBUTE) != HEATMAP_ROLE:
        return None
    return _parsed(node.GetAttribute(COMPONENT_ATTRIBUTE) or "")


@lru_cache(maxsize=256)  # asked for at every turn, and long
def _parsed(text: str) -> Heatmap | None:
    try:
        content = json.loads(text)
        component = Component.from_dict(content["component"])
        percentiles = tuple(map(float, content["percentiles"]))
        explanation = Explanation.from_dict(content.get("explanation", {}))
    except (TypeError, ValueError, KeyError, AttributeError, ProtocolError):
        return None  # a scene file can hold anything
    kind = EVIDENCE if content.get("kind") == EVIDENCE else ACTIVITY
    known = len(percentiles) == 101
    return Heatmap(component, percentiles, kind, explanation) if known else None


def isHeatmap(node) -> bool:
    """Whether `createHeatmap` made the node."""
    return heatmapOf(node) is not None


def explanationsIn(nodes: Sequence) -> dict[Explanation, list]:
    """The heatmap nodes of each explanation, the last explanation first."""
    found: dict[Explanation, list] = {}
    for node in nodes:
        heatmap = heatmapOf(node)
        if heatmap is not None:
            found.setdefault(heatmap.explanation, []).append(node)
    return {key: found[key] for key in sorted(found, key=lambda item: -item.number)}


def nextNumber(scene) -> int:
    """The number of the next explanation in a scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    return 1 + max((item.number for item in explanationsIn(nodes)), default=0)


def drawPeaks(node, shownPart: float) -> None:
    """Draw a heatmap only where it is most active: in this part (0 to 1) of the head.

    Where it is not active at all nothing is drawn.
    """
    heatmap = heatmapOf(node)
    if heatmap is None:
        return
    level = heatmap.levelOf(shownPart)
    display = node.GetDisplayNode()
    # The whole range has to be set: values beyond the window are still to be drawn.
    low, high = heatmap.window
    lowest, highest = node.GetImageData().GetScalarRange()
    if heatmap.sign < 0:
        display.SetThreshold(min(low, -level, lowest), -level)
    else:
        display.SetThreshold(level, max(high, level, highest))
    display.SetApplyThreshold(True)


def draw(node, colorMap: ColorMap, window: tuple[float, float], smooth: bool) -> None:
    """How a heatmap is coloured.

    Args:
        window: The values of the first and the last colour.
        smooth: Between voxels; otherwise every voxel is seen as it is.
    """
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetAndObserveColorNodeID(colorNodeOf(node.GetScene(), colorMap).GetID())
        display.SetWindowLevelMinMax(*window)
        display.SetInterpolate(smooth)


def _percentilesInHead(heatmap: np.ndarray, scan: np.ndarray | None, sign: int) -> list[float]:
    """The 0th to 100th percentile of a heatmap where the scan on the same grid is not zero.

    Args:
        sign: Values of the other sign count as 0; that of negative ones is taken away.
    """
    every = max(1, round((heatmap.size / _PERCENTILE_VOXELS) ** (1 / 3)))
    few = (slice(None, None, every),) * 3
    values = np.maximum(sign * heatmap[few], 0)
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


def _addDisplay(node, heatmap: Heatmap) -> None:
    scene = node.GetScene()
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # it would look at every voxel
    display.SetAutoThreshold(False)
    scene.AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    draw(node, heatmap.colorMaps[0], heatmap.window, smooth=True)
    drawPeaks(node, DEFAULT_SHOWN_PART)
