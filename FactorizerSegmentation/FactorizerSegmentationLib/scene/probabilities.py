"""The probability maps of a result, kept with its segmentation in 8 bits."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import slicer

from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.painting import FULL_LEVEL, region_masks
from factorizer_engine.protocol.triples import triple
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, Place, createVolume

MAP_ROLE = "FactorizerSegmentation.Probability."
SETTINGS_ATTRIBUTE = "FactorizerSegmentation.Thresholds"
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


def mapsOf(segmentationNode) -> list:
    """The volume nodes of the maps, in the order of the regions; empty unless all are there."""
    thresholds = thresholdsOf(segmentationNode)
    regions = thresholds.regions if thresholds is not None else ()
    nodes = [segmentationNode.GetNodeReference(MAP_ROLE + region.name) for region in regions]
    if any(node is None or node.GetImageData() is None for node in nodes):
        return []
    if len({node.GetImageData().GetDimensions() for node in nodes}) > 1:
        return []
    return nodes


def keepMaps(nodes: Iterable, kept: bool) -> None:
    """Whether maps are saved with the scene."""
    for node in nodes:
        node.SetSaveWithScene(kept)
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
        self.box = _commonBox([array >= round(LOWEST * FULL_LEVEL) for array in arrays])
        self._levels = np.stack([array[self.box] for array in arrays])

    def outermost(self) -> np.ndarray:
        """The probability of any lesion in the box, 0 to `FULL_LEVEL`, (K, J, I)."""
        first = min(region.order for region in self._regions)
        chosen = [index for index, region in enumerate(self._regions) if region.order == first]
        levels = self._levels[chosen].sum(axis=0, dtype=np.uint16)
        return np.minimum(levels, FULL_LEVEL)

    def labelmap(self, thresholds: Thresholds, voxelMl: float) -> np.ndarray:
        """The label values in the box, uint8, (K, J, I).

        Args:
            voxelMl: Volume of a voxel in mL.
        """
        labelmap = np.zeros(self._levels.shape[1:], np.uint8)
        levels = [value * FULL_LEVEL for value in thresholds.values]
        for region, mask in region_masks(self._levels, self._regions, levels):
            labelmap[mask] = region.label
        if thresholds.smallest_ml > 0:
            labelmap[_smallMasses(labelmap > 0, thresholds.smallest_ml / voxelMl)] = 0
        return labelmap


def _commonBox(masks: Sequence[np.ndarray]) -> tuple[slice, slice, slice]:
    """The smallest box around all that is true; of one voxel if nothing is."""
    mask: np.ndarray = np.any(masks, axis=0)
    plane = np.asarray(mask.any(axis=0))
    lines = (mask.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    used = [np.flatnonzero(line) for line in lines]
    if not len(used[0]):
        return slice(0, 1), slice(0, 1), slice(0, 1)
    return triple(slice(int(line[0]), int(line[-1]) + 1) for line in used)


def _smallMasses(mask: np.ndarray, fewest: float) -> np.ndarray:
    """Voxels of connected masses (26 neighbours) of fewer voxels."""
    from scipy import ndimage

    masses, count = ndimage.label(mask, np.ones((3, 3, 3)))
    small = np.bincount(masses.ravel(), minlength=count + 1) < fewest
    small[0] = False
    return small[masses]
