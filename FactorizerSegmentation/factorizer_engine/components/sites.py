"""Where logits are averaged: in what was found, or in one lesion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion

PROBABLE_ML = 1.0
"""Where no lesion was found, contributions are measured in this many mL of highest probability."""

_NEAR_MM = 2.0
"""So far away a centre may always lie from where it is looked for."""


@dataclass(frozen=True, eq=False)
class LesionSites:
    """Where in model space the logits of regions are averaged.

    Attributes:
        masks: Boolean, (R, X, Y, Z); empty only for a lesion beyond what the network is shown.
        found: By region, whether a voxel reached the threshold on the reference grid.
    """

    masks: np.ndarray
    found: tuple[bool, ...]


def lesion_sites(result: SegmentationResult, threshold: float) -> LesionSites:
    """Where every region holds in model space, or where it is most probable if nowhere."""
    grid, reference = result.prepared.grid, result.prepared.reference
    masks = []
    for probabilities in result.probabilities:
        volume = resample(Scan(probabilities, reference), grid).array
        mask = volume >= threshold
        if not mask.any():
            most = min(max(round(PROBABLE_ML / grid.voxel_ml), 1), volume.size)
            mask = volume >= np.partition(volume, volume.size - most, axis=None)[-most]
        masks.append(mask)
    found = tuple(bool((p >= threshold).any()) for p in result.probabilities)
    return LesionSites(np.stack(masks), found)


def one_lesion_site(result: SegmentationResult, lesion: int) -> LesionSites:
    """Where one lesion of the result is in model space, the same for every region.

    Raises:
        BadInputError: If there is no such lesion.
    """
    own = result.lesion_mask(lesion).astype(np.float32)
    share = resample(Scan(own, result.labelmap.grid), result.prepared.grid, antialias=True).array
    mask = (share > 0) & (share >= min(0.5, float(share.max())))
    regions = len(result.model.regions)
    return LesionSites(np.stack([mask] * regions), (True,) * regions)


def among_outputs(
    segmenter: Segmenter, result: SegmentationResult, masks: np.ndarray
) -> np.ndarray:
    """Masks (R, X, Y, Z) of the result's regions among those of all outputs of the network.

    Those of outputs that could not be seen are empty.
    """
    every = np.zeros((len(segmenter.bundle.description.regions), *masks.shape[1:]), dtype=bool)
    every[result.outputs] = masks
    return every


def lesion_near(lesions: Sequence[Lesion], point: Sequence[float]) -> int:
    """The number of the lesion that has its centre at about `point` (RAS, mm).

    Other thresholds move a centre a little, and join or part lesions.

    Raises:
        BadInputError: If the nearest centre is further away than 2 mm and half a radius.
    """
    nearest = min(lesions, key=lambda lesion: math.dist(lesion.centroid_ras, point), default=None)
    reach = max(nearest.max_diameter_mm / 4, _NEAR_MM) if nearest is not None else 0.0
    if nearest is None or math.dist(nearest.centroid_ras, point) > reach:
        raise BadInputError(
            "The model itself finds no such lesion, with its own threshold; explain all lesions, "
            "or one that it finds."
        )
    return nearest.id


def decisive_regions(
    result: SegmentationResult, region: str | None, sites: LesionSites, lesion: int | None
) -> list[int]:
    """The regions by whose contributions components are ranked."""
    regions = result.model.regions
    if region is not None:
        return [[r.name for r in regions].index(region)]
    if lesion is not None:
        return [main_region(result, result.lesions[lesion - 1])]
    found = [index for index, is_found in enumerate(sites.found) if is_found]
    return found or list(range(len(regions)))


def painters_of(result: SegmentationResult, lesion: Lesion) -> list[int]:
    """The regions of the result that painted a lesion; all where its labels are of none."""
    labels = {part.label for part in lesion.parts}
    regions = result.model.regions
    painters = [index for index, region in enumerate(regions) if region.label in labels]
    return painters or list(range(len(regions)))


def main_region(result: SegmentationResult, lesion: Lesion) -> int:
    """The region of the result that is most probable in a lesion, of those that painted it.

    Where regions nest it is the widest one: that which makes the lesion a lesion.
    """
    mask = result.lesion_mask(lesion.id)
    painters = painters_of(result, lesion)
    return max(painters, key=lambda index: float(result.probabilities[index][mask].mean()))
