"""The head in a scan: where it is, and whether it still has its skull."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan

WORK_MM = 4.0
"""Voxel size at which heads are outlined."""

LARGEST_BRAIN_ML = 2000.0
"""No brain without its skull is larger; heads are, from 2500 mL on."""

BLACK_PART = 0.15
"""Around a brain without its skull at least this part of the scan is exactly zero."""


def isotropic(scan: Scan, size: float) -> Scan:
    """The scan with voxels of `size` mm, float32, over the same box."""
    grid = scan.grid.straightened().respaced((size, size, size))
    return resample(scan, grid, antialias=True)


def head_mask(scan: Scan) -> Scan:
    """Where the head (or what is left of it) is, of the type bool, on the scan's grid.

    All brighter than air by Otsu's threshold on square roots, which see dark tissue too: the
    largest piece, with its cavities filled.
    """
    values = np.sqrt(np.maximum(scan.array.astype(np.float32) - float(scan.array.min()), 0.0))
    pieces, count = ndimage.label(values > _otsu(values))
    if count > 1:
        pieces = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    filled: np.ndarray = ndimage.binary_fill_holes(pieces > 0)
    return scan.with_array(filled)


def is_stripped(scan: Scan) -> bool:
    """Whether a scan shows a brain without skull, in black: nothing is left to extract."""
    shown = scan.array != 0
    if 1.0 - shown.mean() < BLACK_PART:
        return False
    return scan.grid.volume_ml(int(ndimage.binary_fill_holes(shown).sum())) < LARGEST_BRAIN_ML


def centre_of(mask: Scan) -> np.ndarray:
    """The centre of mass in world mm, RAS."""
    indices = np.argwhere(mask.array).mean(axis=0)
    return mask.affine[:3, :3] @ indices + mask.affine[:3, 3]


def points_of(mask: Scan) -> np.ndarray:
    """World coordinates of the voxels in a mask, shape (N, 3), in mm RAS."""
    return np.argwhere(mask.array) @ mask.affine[:3, :3].T + mask.affine[:3, 3]


def part_inside(mask: Scan, other: Scan) -> float:
    """Part of the voxels of `mask` whose centres lie in the mask `other`."""
    on_own_grid = resample(other, mask.grid, "nearest").array
    return float(on_own_grid[mask.array].mean()) if mask.array.any() else 0.0


def _otsu(values: np.ndarray) -> float:
    """Otsu's threshold (IEEE Trans. SMC 9(1), 1979), on 256 bins."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums / below - (sums[-1] - sums) / above
    variance = np.nan_to_num(below * above * apart**2)
    return float(centres[int(np.argmax(variance))])
