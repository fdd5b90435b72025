"""Numbers that tell MR sequences of the brain apart, whatever scanner and scale."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import ndimage

#: Percentiles of the brain's intensities that are compared.
PERCENTILES = (1, 3, 10, 25, 75, 90, 97, 99, 99.7)

#: Depths below the surface of the brain, in parts of its greatest depth.
SHELLS = (0.0, 0.12, 0.25, 0.4, 0.6, 1.0)


def scan_traits(array: np.ndarray, brain: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """What one scan looks like: percentiles, brightness by depth, and texture.

    Intensities count from the median of the brain, in units of the distance between its quartiles.

    Args:
        array: Voxels, shape (X, Y, Z).
        brain: Which of them are brain.
        spacing: Voxel size in mm.
    """
    scaled = scale(array, brain)
    values = scaled[brain]
    tails = np.arcsinh(np.percentile(values, PERCENTILES))
    depth = ndimage.distance_transform_edt(np.pad(brain, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    parts = depth[brain] / depth.max()
    clipped = np.clip(values, -4, 4)
    shells = [_mean(clipped[(parts > low) & (parts <= high)]) for low, high in pairwise(SHELLS)]
    smooth = ndimage.gaussian_filter(np.where(brain, np.clip(scaled, -4, 4), 0.0), 2.0)
    rest = np.where(brain, np.clip(scaled, -6, 6), 0.0) - smooth
    inner = depth > 0.1 * depth.max()
    texture = [
        np.cbrt((rest[inner] ** 3).mean()),
        rest[inner].std(),
        clipped.mean(),
        float((values < -2).mean()),
        float((values > 2).mean()),
    ]
    return np.array([*tails, *shells, *texture])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0


def scale(array: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Intensities from the median of the brain, in units of the distance of its quartiles."""
    low, middle, high = np.percentile(array[brain], (25, 50, 75))
    scaled: np.ndarray = (array - middle) / max(high - low, 1e-9)
    return scaled


def compared(
    first: np.ndarray, second: np.ndarray, own: tuple[np.ndarray, np.ndarray], brain: np.ndarray
) -> np.ndarray:
    """How two scans of one brain differ; all but the last number turn their signs with the order.

    What one scan has beyond the other is skewed upwards where contrast agent went.

    Args:
        first, second: Voxels, shape (X, Y, Z).
        own: The `scan_traits` of both.
        brain: The voxels that are brain in both.
    """
    ranks = _ranks(first[brain]), _ranks(second[brain])
    beyond = [np.clip(scale(array, brain)[brain], -8, 20) for array in (first, second)]
    rest = beyond[0] - beyond[1]
    rest = rest - np.median(rest)
    skews = [
        np.arcsinh(np.percentile(rest, high)) - np.arcsinh(-np.percentile(rest, 100 - high))
        for high in (99.5, 97)
    ]
    return np.array(
        [
            *(own[0] - own[1]),
            *skews,
            np.cbrt(((ranks[0] - ranks[1]) ** 3).mean()),
            _seen_by_other(ranks, lambda rank: rank > 0.97),
            _seen_by_other(ranks, lambda rank: rank < 0.05),
            np.corrcoef(*ranks)[0, 1],
        ]
    )


def _seen_by_other(
    ranks: tuple[np.ndarray, np.ndarray], chosen: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Mean rank in the second of what is chosen in the first, less the same the other way round."""
    first, second = ranks
    return float(second[chosen(first)].mean() - first[chosen(second)].mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1."""
    order = values.argsort(kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.linspace(0.0, 1.0, len(values))
    return ranks
