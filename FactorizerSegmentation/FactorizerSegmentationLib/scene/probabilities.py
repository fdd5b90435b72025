"""The probability maps of a result, kept with its segmentation in 8 bits."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.painting import FULL_LEVEL, region_masks
from factorizer_engine.protocol.triples import triple
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.scene.pieces import piecesOf
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, Place, createVolume

MAP_ROLE = "FactorizerSegmentation.Probability."
SETTINGS_ATTRIBUTE = "FactorizerSegmentation.Thresholds"
Box = tuple[slice, slice, slice]
_ROUNDING = 1e-6
"""Of numbers of voxels, since the volume of one is a little off in a turned head."""
LOWEST, HIGHEST = 0.05, 0.95
"""Between these a threshold can be."""


@dataclass(frozen=True)
class Thresholds(Message):
    """How a segmentation follows from its probability maps.

    Attributes:
        regions: The regions of the maps, in their order.
        values: By region, the probability from which on it holds.
        smallest_ml: Connected masses below this volume in mL are left out.
    """

    regions: tuple[Region, ...]
    values: tuple[float, ...]
    smallest_ml: float = field(default=0.0)

    def __post_init__(self) -> None:
        if len(self.values) != len(self.regions) or not self.regions:
            raise ProtocolError("There is not one threshold for each region.")


def createMap(segmentationNode, region: Region, levels: np.ndarray, place: Place):
    """A hidden volume node with the compact map (I, J, K) of a region, for a segmentation.

    It is not saved with the scene, see `keepMaps`.
    """
    scene = segmentationNode.GetScene()
    name = f"{segmentationNode.GetName()} {region.name}"
    node = createVolume(scene, levels, place, name, hidden=True)
    node.SetAttribute(ROLE_ATTRIBUTE, "Probability")
    segmentationNode.SetNodeReferenceID(MAP_ROLE + region.name, node.GetID())
    return node


def setThresholds(segmentationNode, thresholds: Thresholds) -> None:
    """Write down how the segmentation follows from its maps."""
    segmentationNode.SetAttribute(SETTINGS_ATTRIBUTE, json.dumps(thresholds.to_dict()))


def thresholdsOf(segmentationNode) -> Thresholds | None:
    """See `setThresholds`; None for other segmentations."""
    try:
        return Thresholds.from_dict(json.loads(segmentationNode.GetAttribute(SETTINGS_ATTRIBUTE)))
    except (TypeError, ValueError, ProtocolError):  # a scene file can hold anything
        return None


def thresholdsTold(segmentationNode) -> str:
    """From which probabilities and volumes on there is something, or "" where that is unknown."""
    thresholds = thresholdsOf(segmentationNode)
    if thresholds is None:
        return ""
    told = [
        _("{region} from {percent} %").format(
            region=region.title or region.name, percent=rounded(100 * value, 0)
        )
        for region, value in zip(thresholds.regions, thresholds.values, strict=True)
    ]
    if thresholds.smallest_ml > 0:
        told.append(_("lesions from {volume} mL").format(volume=rounded(thresholds.smallest_ml, 2)))
    return ", ".join(told)


def mapsOf(segmentationNode) -> list:
    """The volume nodes of the maps, in the order of the regions; empty unless all are there."""
    nodes = _mapNodes(segmentationNode)
    if any(node is None or node.GetImageData() is None for node in nodes):
        return []
    if len({node.GetImageData().GetDimensions() for node in nodes}) > 1:
        return []
    return nodes


def remainingMaps(segmentationNode) -> list:
    """The volume nodes of the maps that are still there: users can delete some of them."""
    return [node for node in _mapNodes(segmentationNode) if node is not None]


def _mapNodes(segmentationNode) -> list:
    thresholds = thresholdsOf(segmentationNode)
    regions = thresholds.regions if thresholds is not None else ()
    return [segmentationNode.GetNodeReference(MAP_ROLE + region.name) for region in regions]


def keepMaps(nodes: Iterable, kept: bool) -> None:
    """Whether maps are saved with the scene.

    Those that are kept are no longer hidden: Slicer's dialog leaves hidden nodes out of what it
    saves as files, up to Slicer 5.8.
    """
    for node in nodes:
        node.SetSaveWithScene(kept)
        node.SetHideFromEditors(not kept)
        for display in (node.GetDisplayNode(), node.GetStorageNode()):
            if display is not None:
                display.SetSaveWithScene(kept)


def savedSize(nodes: Sequence) -> int:
    """About how many bytes maps take in a saved scene, from every fourth slice."""
    slices = (slicer.util.arrayFromVolume(node)[::4] for node in nodes)
    return sum(4 * len(zlib.compress(np.ascontiguousarray(part).tobytes(), 1)) for part in slices)


class ProbabilityMaps:
    """The maps as arrays, cut to the box in which a region can hold.

    Axes are those of Slicer's arrays: (k, j, i).

    Args:
        nodes: As `mapsOf` gives them.
        regions: Their regions.

    Attributes:
        box: The box in the arrays of the nodes.
    """

    def __init__(self, nodes: Sequence, regions: Sequence[Region]) -> None:
        self._regions = regions
        arrays = [slicer.util.arrayFromVolume(node) for node in nodes]
        lowest = round(LOWEST * FULL_LEVEL)
        self.box = _boxWhere([[line >= lowest for line in _highest(array)] for array in arrays])
        self._levels = np.stack([array[self.box] for array in arrays])
        self._groups = _groupsOf(regions)
        self._highest = [_highest(self._together(group)) for group in self._groups]

    def outermost(self) -> np.ndarray:
        """The probability of any lesion in the box, 0 to `FULL_LEVEL`, (K, J, I)."""
        return np.minimum(self._together(self._groups[0]), FULL_LEVEL)

    def boxOf(self, *several: Thresholds) -> Box:
        """The part of `box` outside of which nothing holds at any of the thresholds."""
        lines = [
            [
                line >= min(thresholds.values[index] for index in group) * FULL_LEVEL
                for line in highest
            ]
            for thresholds in several
            for group, highest in zip(self._groups, self._highest, strict=True)
        ]
        return _boxWhere(lines)

    def labelmap(
        self, thresholds: Thresholds, voxelMl: float, part: Box | None = None
    ) -> np.ndarray:
        """The label values in the box, uint8, (K, J, I).

        Args:
            voxelMl: Volume of a voxel in mL.
            part: Only there; it holds what `boxOf` says.
        """
        box = part or (slice(None),) * 3
        parts = self._levels[:, box[0], box[1], box[2]]
        labelmap = np.zeros(parts.shape[1:], np.uint8)
        levels = [value * FULL_LEVEL for value in thresholds.values]
        for region, mask in region_masks(parts, self._regions, levels):
            np.copyto(labelmap, np.uint8(region.label), where=mask)
        if thresholds.smallest_ml > 0:
            labelmap[_smallMasses(labelmap > 0, thresholds.smallest_ml / voxelMl)] = 0
        return labelmap

    def _together(self, group: Sequence[int]) -> np.ndarray:
        """The sum of the maps of regions that exclude each other."""
        if len(group) == 1:
            return self._levels[group[0]]
        return self._levels[list(group)].sum(axis=0, dtype=np.uint16)


def _groupsOf(regions: Sequence[Region]) -> list[list[int]]:
    """The indices of regions of equal order, the outermost first."""
    orders = sorted({region.order for region in regions})
    return [[i for i, region in enumerate(regions) if region.order == order] for order in orders]


def _highest(array: np.ndarray) -> list[np.ndarray]:
    """Along each axis, the highest value in every plane across it."""
    plane = array.max(axis=0)
    return [array.max(axis=(1, 2)), plane.max(axis=1), plane.max(axis=0)]


def _boxWhere(several: Iterable[Sequence[np.ndarray]]) -> Box:
    """The smallest box around the planes that any of several uses; of one voxel if none does."""
    used = [np.flatnonzero(np.any(lines, axis=0)) for lines in zip(*several, strict=True)]
    if not all(map(len, used)):
        return slice(0, 1), slice(0, 1), slice(0, 1)
    return triple(slice(int(line[0]), int(line[-1]) + 1) for line in used)


def _smallMasses(mask: np.ndarray, fewest: float) -> np.ndarray:
    """Voxels of connected masses (26 neighbours) of fewer voxels."""
    numbers = piecesOf(mask)
    small = np.bincount(numbers.ravel()) < fewest - _ROUNDING
    small[0] = False
    return small[numbers]
