"""Which region holds where, from probability maps; in the engine and under the panel's sliders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from factorizer_engine.protocol.models import Region

FULL_LEVEL = 255
"""What a probability of 1 is in a compact map, which has 8 bits."""


def region_masks(
    probabilities: np.ndarray, regions: Sequence[Region], thresholds: Sequence[float]
) -> Iterator[tuple[Region, np.ndarray]]:
    """Where every region holds, in the order in which they are painted over each other.

    Regions come in ascending `order`, so that an inner region covers the one around it. Those of
    equal order exclude each other: they hold together where the sum of their probabilities reaches
    the threshold of the likeliest of them, and each voxel belongs to that one.

    Args:
        probabilities: (R, I, J, K), in the order of `regions`; floats, or compact maps.
        regions: The network's outputs.
        thresholds: By region, from which value on it holds, in the unit of `probabilities`.
    """
    whole = np.issubdtype(probabilities.dtype, np.integer)
    for order in sorted({region.order for region in regions}):
        group = [index for index, region in enumerate(regions) if region.order == order]
        if len(group) == 1:
            yield regions[group[0]], probabilities[group[0]] >= thresholds[group[0]]
            continue
        values = probabilities[group]
        likeliest = values.argmax(axis=0)
        together = values.sum(axis=0, dtype=np.uint16 if whole else None)
        for position, index in enumerate(group):
            yield regions[index], (likeliest == position) & (together >= thresholds[index])


def compact(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as 8 bits, rounded; a threshold of one half divides them as before."""
    return np.rint(probabilities * np.float32(FULL_LEVEL)).astype(np.uint8)
