"""A three-dimensional image with its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from factorizer_engine.images.geometry import Grid
from factorizer_engine.protocol.volumes import Origin


@dataclass(frozen=True, eq=False)
class Scan:
    """A scalar volume in physical space.

    Attributes:
        array: Voxels, shape (I, J, K).
        grid: Where they lie.
        name: What to call the scan in messages.
        origin: Patient, day and frame of reference, as far as the file names them.
    """

    array: np.ndarray
    grid: Grid
    name: str = ""
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise ValueError(f"voxels {self.array.shape} do not fit a grid of {self.grid.shape}")

    @classmethod
    def of(cls, array: np.ndarray, affine: np.ndarray, name: str = "") -> Scan:
        """The voxels (I, J, K) that a 4x4 matrix brings from indices to world mm, RAS+."""
        return cls(array, Grid(array.shape, np.asarray(affine, dtype=np.float64)), name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along i, j, k."""
        return self.grid.shape

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix from voxel indices to world coordinates in mm, RAS+."""
        return self.grid.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j and k in mm."""
        return self.grid.spacing

    @property
    def orientation(self) -> str:
        """World directions in which i, j and k increase, such as "LPS"."""
        return self.grid.orientation

    def with_array(self, array: np.ndarray) -> Scan:
        """Other voxels from the same corner on, under the same name."""
        return replace(Scan.of(array, self.affine, self.name), origin=self.origin)

    def brought(self, matrix: np.ndarray) -> Scan:
        """The same voxels elsewhere: `matrix` is 4x4, world to world in mm RAS."""
        return replace(self, grid=Grid(self.array.shape, matrix @ self.affine))
