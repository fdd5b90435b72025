"""Label maps and the grids of the scans that they are of."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import only_changes_place, resample
from factorizer_engine.images.scan import Scan


def on_whole_grid(labelmap: Scan, grid: Grid) -> Scan:
    """A label map on all voxels of its scan, where it has them in another order or only in part.

    Slicer may save only the box that holds segments. On any other grid, or where voxels of the
    label map would be lost, it is returned as it is.
    """
    if not only_changes_place(labelmap.grid, grid):
        return labelmap
    whole = Scan(resample(labelmap, grid, "nearest").array, grid, labelmap.name)
    is_lost = np.count_nonzero(whole.array) < np.count_nonzero(labelmap.array)
    return labelmap if is_lost else whole
