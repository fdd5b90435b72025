"""How a label map says where regions hold that lie in each other, and how it is changed.

The Slicer process imports this file: standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factorizer_engine.protocol.models import Region


def values_of(region: Region, regions: Sequence[Region]) -> tuple[int, ...]:
    """The label values that lie in a region: its own, and those of regions painted over it."""
    inner = (other.label for other in regions if other.lies_in(region))
    return (region.label, *inner)


def value_around(region: Region, regions: Sequence[Region]) -> int:
    """What a voxel becomes that is taken out of a region: the next region outward, else 0.

    Where several regions lie next to each other around it, nobody knows which, so it becomes 0.
    """
    outer = [other for other in regions if region.lies_in(other)]
    nearest = [other for other in outer if other.order == max(o.order for o in outer)]
    return nearest[0].label if len(nearest) == 1 else 0


def mask_of(labelmap: np.ndarray, region: Region, regions: Sequence[Region]) -> np.ndarray:
    """Booleans of the label map's shape: where a region holds."""
    return np.isin(labelmap, values_of(region, regions))
