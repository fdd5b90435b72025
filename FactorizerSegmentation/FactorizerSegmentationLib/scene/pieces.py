"""Connected pieces of a mask, and where it is."""

from __future__ import annotations

import numpy as np


def piecesOf(mask: np.ndarray) -> np.ndarray:
    """The number, from 1, of the connected piece (26 neighbours) of each voxel; 0 where none is.

    The engine's package for it is several times as fast as Slicer's own, but there only after it
    has been installed.
    """
    try:
        import cc3d
    except ImportError:
        from scipy import ndimage

        return ndimage.label(mask, np.ones((3, 3, 3)))[0]
    return cc3d.connected_components(mask, connectivity=26)


def blockOf(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest block (I, J, K) with all voxels of a mask; an empty one if there are none."""
    block = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        block.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0))
    return tuple(block)
