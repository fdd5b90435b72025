"""Component heatmaps: what they show, how they are kept small, and how they are drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component, step_of
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.messages import Message
from FactorizerSegmentationLib.scene.color_maps import (
    ColorMap,
    activityMaps,
    colorNodeOf,
    evidenceMaps,
)
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, arrayOf

HEATMAP_ROLE = "Heatmap"
COMPONENT_ATTRIBUTE = "FactorizerSegmentation.Component"

EVIDENCE, ACTIVITY = "evidence", "activity"
"""What a component contributes where, and where it is active."""

DEFAULT_SHOWN_PART = 0.05
"""Part of the head that a heatmap colours at first: where it is most active."""

_PALE = 0.1
"""Part of the colours of evidence that is nearly white: over a scan it would look like a signal."""
_PERCENTILE_VOXELS = 200_000
"""Enough for percentiles, and few enough not to hold up the window."""
_LEAST = float(np.finfo(np.float32).tiny)
"""Of a level, so that what is not active at all is below it."""
_PIECE_VOXELS = 5_000_000
"""As many as are rounded before the window has its turn."""


@dataclass(frozen=True)
class Explanation(Message):
    """What the heatmaps of one run explain.

    Attributes:
        number: Grows with every run in a scene.
        lesion: Number of the lesion that was explained; None if it was all that was found.
        note: What to know about the components, for people, or "".
        region: Region for which they are in their order; "" for all that were found.
    """

    number: int = 0
    lesion: int | None = None
    note: str = ""
    region: str = ""


@dataclass(frozen=True)
class Heatmap(Message):
    """What a heatmap shows.

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
    explanation: Explanation = field(default_factory=Explanation)

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

    @property
    def title(self) -> str:
        """Its name, for people."""
        name = _("{name} (evidence)") if self.kind == EVIDENCE else _("{name} (activity)")
        return name.format(name=self.component.name)

    def levelOf(self, shownPart: float) -> float:
        """The size of value above which lies this part (0 to 1) of the head; above 0.

        Evidence has to reach `_PALE` of its colours, too, if some of it does.
        """
        level = float(np.interp(100 * (1 - shownPart), range(101), self.percentiles))
        if self.kind == EVIDENCE:
            level = max(level, min(self.sizeAt(_PALE), self.percentiles[99]))
        return max(level, _LEAST)

    def sizeAt(self, part: float) -> float:
        """The size of value at this part (0 to 1) of the display range; above 0.

        It begins with the first colour of activity, which need not be 0, and with no evidence.
        """
        low, high = self._ends
        return max(low + part * (high - low), _LEAST)

    def partAt(self, value: float) -> float:
        """How much of the display range (0 to 1) an activity, or evidence for, reaches."""
        low, high = self._ends
        return float(np.clip((value - low) / max(high - low, _LEAST), 0, 1))

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = self.window
        return (0.0 if self.kind == EVIDENCE else low), high


def measured(
    component: Component,
    values: np.ndarray,
    scan: np.ndarray | None,
    kind: str = ACTIVITY,
    explanation: Explanation | None = None,
) -> Heatmap:
    """The heatmap of a component.

    Args:
        values: The map, (I, J, K): floats, or whole numbers of steps of its display range.
        scan: The scan on the same grid, which is 0 outside the head; None if it is gone.
        kind: `EVIDENCE` or `ACTIVITY`.
        explanation: Of which it is a part.
    """
    bare = Heatmap(component, (), kind)
    every = max(1, round((values.size / _PERCENTILE_VOXELS) ** (1 / 3)))
    few = (slice(None, None, every),) * 3
    some = scan[few] if scan is not None and scan[few].any() else None
    compact = _compact(np.empty(values[few].shape, np.float32), values[few], some, bare.window)
    percentiles = _percentilesInHead(compact, some, bare.sign)
    return Heatmap(component, tuple(percentiles), kind, explanation or Explanation())


def compactInto(
    image: Any, values: np.ndarray, scan: np.ndarray | None, window: tuple[float, float]
) -> Iterator[None]:
    """Fill the image of a heatmap with its values in compact form.

    All of a kind share a colour map, and within a block a window. Values are rounded to a 255th of
    the window, which no colour map resolves, and are 0 outside the head; so a saved scene stays
    small. The application may have its turn at every `yield`.

    Args:
        image: The vtkImageData, see `emptyImage`.
        values, scan: See `measured`.
        window: That of the heatmap.
    """
    voxels = arrayOf(image)
    head = scan if scan is not None and scan.any() else None
    thick = max(1, _PIECE_VOXELS // voxels[0].size)
    for start in range(0, len(voxels), thick):
        piece = (slice(None), slice(None), slice(start, start + thick))
        scanned = head[piece].T if head is not None else None
        _compact(voxels[piece[2]], values[piece].T, scanned, window)
        yield


def describe(node, heatmap: Heatmap) -> None:
    """Write down at a volume node what it shows."""
    node.SetAttribute(ROLE_ATTRIBUTE, HEATMAP_ROLE)
    node.SetAttribute(COMPONENT_ATTRIBUTE, json.dumps(heatmap.to_dict()))


def hasVoxels(node) -> bool:
    """Whether there is an image; the file of a saved scene may be lost."""
    image = node.GetImageData()
    return image is not None and image.GetNumberOfPoints() > 0


def heatmapOf(node) -> Heatmap | None:
    """What a node that was described (see `describe`) shows; None for other nodes."""
    if node.GetAttribute(ROLE_ATTRIBUTE) != HEATMAP_ROLE:
        return None
    return _parsed(node.GetAttribute(COMPONENT_ATTRIBUTE) or "")


@lru_cache(maxsize=256)  # asked for at every turn, and long
def _parsed(text: str) -> Heatmap | None:
    try:
        return parsed(json.loads(text))
    except ValueError:
        return None


def parsed(content: object) -> Heatmap | None:
    """The heatmap of decoded JSON; None for anything else, since a scene file can hold anything."""
    try:
        heatmap = Heatmap.from_dict(content)
    except EngineError:
        return None
    return heatmap if len(heatmap.percentiles) == 101 else None


def isHeatmap(node) -> bool:
    """Whether a node is described as a heatmap."""
    return heatmapOf(node) is not None


def addDisplay(node, heatmap: Heatmap) -> None:
    """Give a volume node a display in which the `DEFAULT_SHOWN_PART` of the head is drawn."""
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # it would look at every voxel
    display.SetAutoThreshold(False)
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    draw(node, heatmap.colorMaps[0], heatmap.window, smooth=True)
    drawPeaks(node, DEFAULT_SHOWN_PART)


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


def _percentilesInHead(values: np.ndarray, scan: np.ndarray | None, sign: int) -> list[float]:
    """The 0th to 100th percentile of a heatmap where the scan on the same grid is not zero.

    Args:
        scan: Somewhere not zero, or None.
        sign: Values of the other sign count as 0; that of negative ones is taken away.
    """
    drawn = np.maximum(sign * values, 0)
    return np.percentile(drawn if scan is None else drawn[scan != 0], range(101)).tolist()


def _compact(
    compact: np.ndarray,
    values: np.ndarray,
    scan: np.ndarray | None,
    window: tuple[float, float],
) -> np.ndarray:
    """Bring values into compact form, float32; see `compactInto`."""
    step = np.float32(step_of(window))
    if np.issubdtype(values.dtype, np.integer):
        np.multiply(values, step, out=compact)
    else:
        compact[...] = values
        if step > 0:
            compact /= step
            np.rint(compact, out=compact)
            compact *= step
    if scan is not None:
        compact *= scan != 0
    return compact
