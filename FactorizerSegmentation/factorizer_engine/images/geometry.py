"""Voxel grids in physical space.

A voxel is a box of its spacing around its centre, so a grid covers half a voxel beyond its
outermost centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from factorizer_engine.images.orientation import (
    axis_codes,
    axis_directions,
    nearest_rotation,
    parse_codes,
)
from factorizer_engine.protocol.triples import triple

#: Two grids whose voxels stay closer than this part of a voxel count as lying on each other.
ALIGNMENT_TOLERANCE = 1e-2

#: Axes whose cosine exceeds this count as sheared (0.06 degrees; rounding of headers is less).
SHEAR_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a scan lie.

    Attributes:
        shape: Number of voxels along i, j, k.
        affine: 4x4 matrix from voxel indices to world coordinates in mm, RAS+.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j and k in mm."""
        return triple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """World directions in which i, j and k increase, such as "LPS"."""
        return axis_codes(self.affine)

    @property
    def is_sheared(self) -> bool:
        """Whether axes are not at right angles, by more than `SHEAR_TOLERANCE`."""
        directions = self.affine[:3, :3] / self.spacing
        cosines = directions.T @ directions - np.eye(3)
        return bool(np.abs(cosines).max() >= SHEAR_TOLERANCE)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in mL."""
        return self.volume_ml(1)

    def volume_ml(self, voxels: int) -> float:
        """Volume of so many voxels in mL."""
        return voxels * abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def corners(self) -> np.ndarray:
        """World coordinates of the eight corners of the outer box, shape (8, 3), in mm RAS."""
        upper = np.asarray(self.shape) - 0.5
        indices = np.array(list(product(*((-0.5, u) for u in upper))))
        return indices @ self.affine[:3, :3].T + self.affine[:3, 3]

    @property
    def extent(self) -> str:
        """Where it lies, for people: "R -90 to 90, A -120 to 95, S -70 to 80 mm"."""
        corners = self.corners()
        low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        ranges = zip("RAS", low, high, strict=True)
        return ", ".join(f"{axis} {round(a)} to {round(b)}" for axis, a, b in ranges) + " mm"

    def indices_of(self, points: np.ndarray) -> np.ndarray:
        """Continuous voxel indices of world points, both of shape (N, 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points) @ inverse[:3, :3].T + inverse[:3, 3]

    def nearest_voxels(self, points: np.ndarray) -> np.ndarray:
        """Indices of the voxels of this grid that are nearest to world points, both (N, 3)."""
        return np.clip(np.rint(self.indices_of(points)).astype(int), 0, np.array(self.shape) - 1)

    def crop(self, box: tuple[slice, slice, slice]) -> Grid:
        """The part of this grid inside `box`, slices with a start and a stop along each axis."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [float(s.start) for s in box]
        return Grid(triple(s.stop - s.start for s in box), affine)

    def box_of(self, other: Grid) -> tuple[slice, slice, slice]:
        """The smallest box of voxels of this grid with all centres that lie inside `other`."""
        indices = self.indices_of(other.corners())
        low = np.clip(np.ceil(indices.min(axis=0)), 0, self.shape).astype(int)
        high = np.clip(np.floor(indices.max(axis=0)) + 1, low, self.shape).astype(int)
        return triple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def oriented(self, axes: str) -> Grid:
        """The same voxels with axes permuted and flipped to run nearest to `axes` ("RAS")."""
        own = axis_directions(self.affine)
        worlds = [world for world, _ in own]
        shape, affine = [], self.affine.copy()
        for new, (world, sign) in enumerate(parse_codes(axes)):
            old = worlds.index(world)
            flip = own[old][1] * sign
            affine[:, new] = flip * self.affine[:, old]
            if flip < 0:
                affine[:, 3] += self.affine[:, old] * (self.shape[old] - 1)
            shape.append(self.shape[old])
        return Grid(triple(shape), affine)

    def respaced(self, spacing: tuple[float, float, float]) -> Grid:
        """A grid of voxels of `spacing` mm over the same box, centred on it.

        The shape is rounded up so that the whole box is covered. An axis whose voxels already have
        this size to 0.1 % stays as it is.
        """
        shape, affine = list(self.shape), self.affine.copy()
        for axis, (own, wanted) in enumerate(zip(self.spacing, spacing, strict=True)):
            ratio = wanted / own
            if abs(ratio - 1.0) < 1e-3:
                continue
            count = max(1, int(np.ceil(self.shape[axis] / ratio - 1e-3)))
            first = (self.shape[axis] - 1) / 2 - (count - 1) / 2 * ratio
            affine[:3, 3] += self.affine[:3, axis] * first
            affine[:3, axis] *= ratio
            shape[axis] = count
        return Grid(triple(shape), affine)

    def straightened(self) -> Grid:
        """This grid, or for a sheared one the nearest rectangular grid that covers it."""
        if not self.is_sheared:
            return self
        rotation = nearest_rotation(self.affine[:3, :3] / self.spacing)
        along = self.corners() @ rotation
        low, extent = along.min(axis=0), np.ptp(along, axis=0)
        shape = np.maximum(1, np.ceil(extent / self.spacing - 1e-3)).astype(int)
        affine = np.eye(4)
        affine[:3, :3] = rotation * self.spacing
        first = low + extent / 2 - (shape - 1) / 2 * self.spacing
        affine[:3, 3] = rotation @ first
        return Grid(triple(int(n) for n in shape), affine)


def same_grid(first: Grid, second: Grid, tolerance: float = ALIGNMENT_TOLERANCE) -> bool:
    """Whether both grids have the same voxels in the same order (to `tolerance` voxels)."""
    if first.shape != second.shape:
        return False
    away = first.indices_of(second.corners()) - first.indices_of(first.corners())
    return bool(np.abs(away).max() <= tolerance)


def overlap_fraction(reference: Grid, other: Grid, samples: int = 24) -> float:
    """Part of the volume of `reference` that `other` covers, estimated on `samples`^3 points."""
    ticks = (np.arange(samples) + 0.5) / samples
    parts = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), -1).reshape(-1, 3)
    points = parts * reference.shape - 0.5
    indices = other.indices_of(points @ reference.affine[:3, :3].T + reference.affine[:3, 3])
    inside = (indices >= -0.5) & (indices <= np.asarray(other.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def common_part(
    first: tuple[slice, slice, slice], second: tuple[slice, slice, slice]
) -> tuple[slice, slice, slice]:
    """The block in both; empty, but with valid bounds, where they do not meet."""
    starts = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]
    return triple(slice(a, max(a, b)) for a, b in zip(starts, stops, strict=True))


def in_all_channels(box: Sequence[slice]) -> tuple[slice, ...]:
    """The block of a volume (C, X, Y, Z) that is `box` in every channel."""
    return (slice(None), *box)
