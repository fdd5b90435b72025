"""One slice of a grid, turned as radiologists look at it.

In axial and coronal slices the patient's right is on the left, in sagittal ones the front is on the
left; what is above or in front is on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.orientation import axis_directions

R, A, S = range(3)
LETTERS = {(R, 1): "R", (R, -1): "L", (A, 1): "A", (A, -1): "P", (S, 1): "S", (S, -1): "I"}
PLANES = {R: "Sagittal", A: "Coronal", S: "Axial"}
RIGHTWARD = {R: (A, -1), A: (R, -1), S: (R, -1)}
"""By the world axis across a slice, where the right of its picture points."""
DOWNWARD = {R: (S, -1), A: (S, -1), S: (A, -1)}


@dataclass(frozen=True, eq=False)
class SliceView:
    """A slice of a grid as a picture, in mm from its upper left corner.

    Args:
        grid: The grid.
        axis: The voxel axis across the slice.
        index: Which slice.
    """

    grid: Grid
    axis: int
    index: int

    @property
    def plane(self) -> str:
        """Such as "Axial"."""
        return PLANES[self._across[0]]

    @property
    def position(self) -> str:
        """Where the middle of the slice lies along the axis across it, such as "S 23 mm"."""
        world = self._across[0]
        middle = (np.asarray(self.grid.shape) - 1) / 2
        middle[self.axis] = self.index
        place = float((self.grid.affine @ [*middle, 1.0])[world])
        return f"{LETTERS[world, 1 if place >= 0 else -1]} {abs(place):.1f} mm"

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies left, right, on top and below."""
        (x, along), (y, down) = RIGHTWARD[self._across[0]], DOWNWARD[self._across[0]]
        return LETTERS[x, -along], LETTERS[x, along], LETTERS[y, -down], LETTERS[y, down]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        (x, _), (y, _) = self._sides
        return self._length(x), self._length(y)

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel in mm."""
        (x, _), (y, _) = self._sides
        return self.grid.spacing[x], self.grid.spacing[y]

    @property
    def slab(self) -> Grid:
        """The voxels of this slice only."""
        box = [slice(0, count) for count in self.grid.shape]
        box[self.axis] = slice(self.index, self.index + 1)
        return self.grid.crop((box[0], box[1], box[2]))

    def picture(self, voxels: np.ndarray) -> np.ndarray:
        """The pixels (rows, columns) of a volume on this grid, or of its slab only."""
        index = self.index if voxels.shape[self.axis] > 1 else 0
        plane = np.take(voxels, index, axis=self.axis)
        (x, flip_x), (y, flip_y) = self._sides
        pixels = plane.T if x < y else plane
        return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]

    def place(self, points: np.ndarray) -> np.ndarray:
        """Where points (N, 3), RAS in mm, are in the picture, (N, 2) in mm."""
        indices = self.grid.indices_of(points) + 0.5
        sides = []
        for axis, flipped in self._sides:
            along = indices[:, axis] * self.grid.spacing[axis]
            sides.append(self._length(axis) - along if flipped else along)
        return np.stack(sides, axis=1)

    @property
    def _across(self) -> tuple[int, int]:
        return axis_directions(self.grid.affine)[self.axis]

    @property
    def _sides(self) -> tuple[tuple[int, bool], tuple[int, bool]]:
        """The voxel axes along the picture's width and height, and whether they run backwards."""
        directions = axis_directions(self.grid.affine)
        worlds = [world for world, _ in directions]
        sides = []
        for wanted, sign in (RIGHTWARD[self._across[0]], DOWNWARD[self._across[0]]):
            axis = worlds.index(wanted)
            sides.append((axis, directions[axis][1] != sign))
        return sides[0], sides[1]

    def _length(self, axis: int) -> float:
        return self.grid.shape[axis] * self.grid.spacing[axis]


def slice_through(grid: Grid, axis: int, point: tuple[float, float, float]) -> SliceView:
    """The slice across a voxel axis in which a point, RAS in mm, lies; the nearest if none."""
    index = round(float(grid.indices_of(np.array([point]))[0, axis]))
    return SliceView(grid, axis, min(max(index, 0), grid.shape[axis] - 1))


def axis_of(grid: Grid, world: int) -> int:
    """The voxel axis that runs along a world axis."""
    return [along for along, _ in axis_directions(grid.affine)].index(world)
