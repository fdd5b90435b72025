"""Label maps and the grids of the scans that they are of."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import only_changes_place, resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


def on_whole_grid(labelmap: Scan, grid: Grid) -> Scan:
    """A label map on all voxels of its scan, where it has them in another order or only in part.

    Slicer may save only the box that holds segments. On any other grid, or where voxels of the
    label map would be lost, it is returned as it is.
    """
    if not only_changes_place(labelmap.grid, grid):
        return labelmap
    whole = resample(labelmap, grid, "nearest")
    is_lost = np.count_nonzero(whole.array) < np.count_nonzero(labelmap.array)
    return labelmap if is_lost else whole


def on_other_grid(labelmap: Scan, grid: Grid) -> Scan:
    """A label map on any other grid, by the nearest voxel; 0 where it has none, as in Slicer.

    Raises:
        BadInputError: If it outlines something, but nothing of that lies on the grid.
    """
    moved = resample(labelmap, grid, "nearest")
    if labelmap.array.any() and not moved.array.any():
        raise BadInputError(
            f"Nothing of {labelmap.name or 'the label map'} lies on the scan; give one of this "
            "scan."
        )
    return moved
