"""A three-dimensional image with its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from factorizer_engine.images.orientation import axis_codes


@dataclass(frozen=True, eq=False)
class Scan:
    """A scalar volume in physical space.

    Attributes:
        array: Voxels, shape (I, J, K).
        affine: 4x4 matrix from voxel indices (i, j, k, 1) to world coordinates in mm, RAS+.
        name: What to call the scan in messages.
    """

    array: np.ndarray
    affine: np.ndarray
    name: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j and k in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """World directions in which i, j and k increase, such as "LPS"."""
        return axis_codes(self.affine)

    def with_array(self, array: np.ndarray) -> Scan:
        """The same place and name with other voxels."""
        return replace(self, array=array)
