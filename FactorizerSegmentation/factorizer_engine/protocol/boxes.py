"""A box in the world, and which voxels of a scan lie in it.

The Slicer process imports this file: standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.triples import triple

_ON_THE_FACE = 1e-6
"""Voxels whose centre lies on a face belong to the box, rounding forgiven."""


@dataclass(frozen=True)
class WorldBox(Message):
    """A box in any orientation, in world coordinates (RAS+, mm).

    Attributes:
        center: Its middle.
        edges: Three vectors from the middle to the middle of a face, half as long as the edges.
    """

    center: tuple[float, float, float]
    edges: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        edges = np.array(self.edges, dtype=np.float64)
        if edges.shape != (3, 3) or not np.isfinite([*self.center, *edges.ravel()]).all():
            raise BadInputError("The box needs a middle and three edges of finite length.")
        if abs(np.linalg.det(edges)) < 1e-6:
            raise BadInputError("The box has no volume; make it larger.")

    @classmethod
    def of_bounds(cls, bounds: Sequence[float]) -> WorldBox:
        """The box along the world's axes between R min, R max, A min, A max, S min, S max (mm).

        Raises:
            BadInputError: If a minimum is not below its maximum.
        """
        low, high = np.array(bounds[::2], dtype=np.float64), np.array(bounds[1::2], np.float64)
        for axis, start, end in zip("RAS", low, high, strict=True):
            if not start < end:
                raise BadInputError(
                    f"The box begins at {start:g} mm along {axis} but ends at {end:g} mm; give "
                    "the smaller number first."
                )
        return cls.of_matrix(np.diag(high - low) / 2, (low + high) / 2)

    @classmethod
    def of_matrix(cls, edges: np.ndarray, center: np.ndarray) -> WorldBox:
        """The box whose half edges are the columns of `edges` (3, 3), around `center` (3,).

        Raises:
            BadInputError: If the box has no volume.
        """
        rows = np.asarray(edges, dtype=np.float64).T.tolist()
        return cls(tuple(np.asarray(center, dtype=np.float64).tolist()), tuple(map(tuple, rows)))

    def part_of(self, shape: Sequence[int], affine: np.ndarray) -> tuple[slice, slice, slice]:
        """The smallest block of voxels that holds all those of the box; empty if there are none.

        Args:
            shape: Voxels of a scan along (i, j, k).
            affine: 4x4 matrix from its voxel indices to the world.
        """
        corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1)
        indices = np.linalg.inv(self._to_box(affine))
        indices = indices[:3, :3] @ corners + indices[:3, 3:]
        low = np.clip(np.ceil(indices.min(axis=1) - _ON_THE_FACE), 0, shape).astype(int)
        high = np.clip(np.floor(indices.max(axis=1) + _ON_THE_FACE) + 1, low, shape).astype(int)
        return triple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def mask(self, part: tuple[slice, slice, slice], affine: np.ndarray) -> np.ndarray:
        """Which voxels of a block (see `part_of`) have their centre in the box, boolean."""
        to_box = self._to_box(affine)
        lines = [np.arange(axis.start, axis.stop) for axis in part]
        inside = np.ones([len(line) for line in lines], dtype=bool)
        for row in to_box[:3]:
            along_i, along_j, along_k = (row[a] * line for a, line in enumerate(lines))
            place = along_i[:, None, None] + along_j[:, None] + (along_k + row[3])
            inside &= np.abs(place) <= 1.0 + _ON_THE_FACE
        return inside

    def _to_box(self, affine: np.ndarray) -> np.ndarray:
        """4x4 matrix from voxel indices to the box's own coordinates, -1 to 1 inside it."""
        to_world = np.eye(4)
        to_world[:3, :3] = np.array(self.edges).T
        to_world[:3, 3] = self.center
        return np.linalg.inv(to_world) @ np.asarray(affine, dtype=np.float64)
