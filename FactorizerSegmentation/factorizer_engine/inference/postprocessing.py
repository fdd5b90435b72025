"""From probabilities to a label map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cc3d
import numpy as np
from scipy import ndimage

from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.protocol.painting import region_masks

if TYPE_CHECKING:
    from factorizer_engine.bundles.settings import PostprocessingSettings
    from factorizer_engine.protocol.models import Region


def paint_regions(
    probabilities: np.ndarray,
    regions: Sequence[Region],
    threshold: float,
    settings: PostprocessingSettings,
    voxel_ml: float,
) -> np.ndarray:
    """Threshold every region, clean it, and paint it over those before it.

    How regions cover and exclude each other is told by `region_masks`. Of a region, connected
    pieces (26 neighbours) below its `min_volume_ml` are dropped; then all of it is, if together it
    is below its `replace_small`, and what lies around it shows in its place. Last, pieces of a
    label below `min_fragment_ml` join the label that they touch most.

    Args:
        probabilities: (R, I, J, K), in the order of `regions`.
        regions: The network's outputs.
        threshold: Probability from which a region holds.
        settings: The cleaning rules.
        voxel_ml: Volume of a voxel in mL.

    Returns:
        uint8, (I, J, K), i fastest in memory.
    """
    labelmap = np.zeros(probabilities.shape[1:], dtype=np.uint8, order="F")  # as in files
    for region, mask in region_masks(probabilities, regions, [threshold] * len(regions)):
        box = foreground_box([mask], margin=0)
        if box is None:
            continue
        mask = mask[box]
        smallest_piece = _voxels(settings.min_volume_ml.get(region.name, 0.0), voxel_ml)
        if smallest_piece > 1:
            mask = cc3d.dust(mask, threshold=smallest_piece, connectivity=26) != 0
        if mask.sum() < _voxels(settings.replace_small.get(region.name, 0.0), voxel_ml):
            continue
        labelmap[box][mask] = region.label
    smallest_fragment = _voxels(settings.min_fragment_ml, voxel_ml)
    if smallest_fragment > 1:
        _join_fragments(labelmap, smallest_fragment)
    return labelmap


def _join_fragments(labelmap: np.ndarray, smallest: int) -> None:
    """Give pieces of fewer voxels the label most frequent among their neighbours, in place.

    Pieces that touch no other label stay: they are small lesions, not slivers.
    """
    box = foreground_box([labelmap], margin=0)
    if box is None:
        return
    labels = labelmap[box]
    pieces = cc3d.connected_components(np.ascontiguousarray(labels), connectivity=26)
    statistics = cc3d.statistics(pieces)
    counts, boxes = statistics["voxel_counts"], statistics["bounding_boxes"]
    fragments = [piece for piece in range(1, len(counts)) if counts[piece] < smallest]
    for piece in sorted(fragments, key=lambda piece: counts[piece]):
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in boxes[piece])
        own = pieces[around] == piece
        shell = ndimage.binary_dilation(own, np.ones((3, 3, 3))) & ~own
        touching = labels[around][shell]
        if touching.any():
            labels[around][own] = np.argmax(np.bincount(touching[touching > 0]))


def _voxels(volume_ml: float, voxel_ml: float) -> int:
    """The smallest number of voxels that reaches a volume; rounding of voxel sizes forgiven."""
    return math.ceil(volume_ml / voxel_ml - 1e-6)
