"""Small copies of the scans of a study, on one coarse grid, on which looks are quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.intensities import background_of, robust_limits
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan

#: Voxels of the coarse grid along its longest side; of a head these are about 3 mm.
LONGEST_SIDE = 80

#: Skin, fat and bone together, in mm: what lies deeper in a head is taken to be brain.
SCALP_AND_SKULL = 18.0

#: Height of the brain below the top of the head, in mm.
BRAIN_HEIGHT = 110.0

#: Pieces of the picture count from this part of the largest on.
LARGE_PIECE = 0.3


@dataclass(frozen=True, eq=False)
class Sketch:
    """One scan on the coarse grid.

    Attributes:
        array: float32, shape (X, Y, Z), axes along R, A, S; outlying values clipped.
        covered: Voxels that lie in the field of view of the scan.
        background: The value around the image where it is constant, else None.
        spacing: Voxel size of the coarse grid in mm.
    """

    array: np.ndarray
    covered: np.ndarray
    background: float | None
    spacing: np.ndarray

    @cached_property
    def mask(self) -> np.ndarray:
        """What the picture shows, without holes: a brain, or a head."""
        return _filled(_foreground(self.array, self.background) & self.covered)

    @cached_property
    def depth(self) -> np.ndarray:
        """Distance of each voxel of the mask from its surface, in mm."""
        padded = ndimage.distance_transform_edt(np.pad(self.mask, 1), sampling=self.spacing)
        inner: np.ndarray = padded[1:-1, 1:-1, 1:-1]
        return inner

    @cached_property
    def volume_ml(self) -> float:
        """Volume of the mask."""
        return float(self.mask.sum() * np.prod(self.spacing) / 1000.0)

    def brain(self, stripped: bool) -> np.ndarray:
        """The mask, or of a head what lies below the skull."""
        if stripped or not self.mask.any():
            return self.mask
        heights = np.flatnonzero(self.mask.any(axis=(0, 1)))
        lowest = heights[-1] - BRAIN_HEIGHT / self.spacing[2]
        inside = self.depth > SCALP_AND_SKULL
        inside[:, :, : max(0, int(lowest))] = False
        return inside if inside.any() else self.mask


def sketch_study(scans: Mapping[str, Scan], reference: str) -> dict[str, Sketch]:
    """All scans on one coarse grid, over the box of the reference scan.

    Args:
        scans: Scan by channel.
        reference: The channel whose box counts.
    """
    grid = _coarse(scans[reference].grid)
    return {name: _sketch(scan, grid) for name, scan in scans.items()}


def _coarse(grid: Grid) -> Grid:
    upright = grid.oriented("RAS").straightened()
    extent = np.array(upright.shape) * upright.spacing
    size = float(extent.max()) / LONGEST_SIDE
    return upright.respaced((size, size, size))


def _sketch(scan: Scan, grid: Grid) -> Sketch:
    low, high = robust_limits(scan.array)
    background = background_of(scan.array)
    array = scan.array
    if array.min() < low or array.max() > high:
        array = np.clip(array, low, high)
    fill = array.min() if background is None else background
    coarse = resample(scan.with_array(array), grid, fill=float(fill), antialias=True).array
    return Sketch(
        np.asarray(coarse, dtype=np.float32),
        _covered(scan.grid, grid),
        background,
        np.array(grid.spacing),
    )


def _covered(scan: Grid, grid: Grid) -> np.ndarray:
    """Voxels of `grid` whose centres lie in the box of `scan`."""
    to_scan = np.linalg.inv(scan.affine) @ grid.affine
    inside = np.ones(grid.shape, dtype=bool)
    ticks = np.ogrid[tuple(slice(n) for n in grid.shape)]
    for row, length in zip(to_scan[:3], scan.shape, strict=True):
        index = row[3] + sum(step * tick for step, tick in zip(row[:3], ticks, strict=True))
        inside &= (index >= -0.5) & (index <= length - 0.5)
    return inside


def _foreground(array: np.ndarray, background: float | None) -> np.ndarray:
    """What differs from a constant background, or is brighter than noise."""
    if background is not None:
        spread = np.percentile(np.abs(array - background), 99)
        return np.abs(array - background) > 0.05 * spread
    low, high = np.percentile(array, (1, 99))
    counts, edges = np.histogram(array, bins=64, range=(low, max(high, low + 1e-6)))
    return array > _otsu(counts, (edges[1:] + edges[:-1]) / 2)


def _otsu(counts: np.ndarray, centres: np.ndarray) -> float:
    """The threshold that parts a histogram best (Otsu, IEEE Trans. SMC 9, 1979)."""
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    usable = (below > 0) & (above > 0)
    between = np.zeros(len(counts))
    low = sums[usable] / below[usable]
    high = (sums[-1] - sums[usable]) / above[usable]
    between[usable] = below[usable] * above[usable] * (high - low) ** 2
    return float(centres[int(between.argmax())]) * 0.6


def _filled(mask: np.ndarray) -> np.ndarray:
    """The large pieces (a skull and the brain in it), closed and filled slice by slice."""
    pieces, count = ndimage.label(ndimage.binary_opening(mask))
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = np.isin(pieces, np.flatnonzero(sizes >= LARGE_PIECE * sizes.max()))
    whole = large | ndimage.binary_closing(large, iterations=2)
    for number in range(whole.shape[2]):
        whole[:, :, number] = ndimage.binary_fill_holes(whole[:, :, number])
    return whole
