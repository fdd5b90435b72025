"""Windows and cells of a map, for the kernels of `fused`. Needs no Triton."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

_CELL_VOXELS = 64  # the most voxels of a cell


@dataclass(frozen=True, eq=False)
class Layout:
    """Windows and cells of a map, as with three axes.

    A cell is a box of voxels that no window of any grid cuts, at most `cell` large. `shifts`
    (grids, 3) are at least 0 and below the size; `segments` are (start, length) of the cells'
    sides, axis by axis; `cells` tells how many sides an axis has. Both tables are on the device.
    """

    size: tuple[int, ...]
    patch: tuple[int, ...]
    cell: tuple[int, ...]
    cells: tuple[int, ...]
    shifts: Tensor
    segments: Tensor

    @property
    def cell_voxels(self) -> int:
        return math.prod(self.cell)


@lru_cache(maxsize=64)
def make_layout(
    spatial_size: tuple[int, ...],
    patch_size: tuple[int, ...],
    shifts: tuple[tuple[int, ...], ...],
    device: torch.device,
) -> Layout:
    missing = 3 - len(spatial_size)
    size, patch = (1,) * missing + spatial_size, (1,) * missing + patch_size
    steps_of_grids = [
        [step % n for step, n in zip((0,) * missing + shift, size, strict=True)] for shift in shifts
    ]
    borders = [
        sorted({0, n, *((i * p - step) % n for step in steps for i in range(n // p))})
        for n, p, steps in zip(size, patch, zip(*steps_of_grids, strict=True), strict=True)
    ]
    cell = _cell_size(
        [max(b - a for a, b in zip(axis, axis[1:], strict=False)) for axis in borders]
    )
    segments = [
        [
            (start, min(longest, end - start))
            for begin, end in zip(axis, axis[1:], strict=False)
            for start in range(begin, end, longest)
        ]
        for axis, longest in zip(borders, cell, strict=True)
    ]
    table = [side for axis in segments for side in axis]
    return Layout(
        size,
        patch,
        cell,
        tuple(len(axis) for axis in segments),
        torch.tensor(steps_of_grids, dtype=torch.int32, device=device),
        torch.tensor(table, dtype=torch.int32, device=device),
    )


def _cell_size(longest: list[int]) -> tuple[int, ...]:
    """Sides of at most `longest` that hold few enough voxels, the last one kept longest."""
    sides = list(longest)
    for axis in range(len(sides)):
        while math.prod(sides) > _CELL_VOXELS and sides[axis] > 1:
            sides[axis] = -(-sides[axis] // 2)
    return tuple(sides)
