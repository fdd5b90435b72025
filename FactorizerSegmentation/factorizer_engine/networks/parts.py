"""Maps computed in parts, so that what comes in between stays in a processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from factorizer_engine.factorization.threads import DEVICE_PART, part_values, run_in_threads

Index = tuple[int | slice, ...]


def is_plain(x: Tensor) -> bool:
    """Whether a map is float32 in the CPU's memory, and operations on it do just what they say."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def by_parts(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """`function` of maps (B, C, *S), for functions that take every voxel by itself.

    Without gradients the voxels go through it in parts, as maps (voxels, C), so that what it
    computes on the way is never whole in memory.
    """
    if torch.is_grad_enabled():
        return function(*maps)
    tokens = [x.movedim(1, -1) for x in maps]
    if max(t.numel() for t in tokens) <= _largest_part(tokens[0].device, tokens[0].numel()):
        rows = function(*(t.flatten(0, -2) for t in tokens))  # the only part is the result
        return rows.unflatten(0, tokens[0].shape[:-1]).movedim(-1, 1)
    nothing = function(*(t.new_empty(0, t.shape[-1]) for t in tokens))
    result = nothing.new_empty(*tokens[0].shape[:-1], nothing.shape[-1])
    fill_by_parts(result, lambda *parts: function(*(p.flatten(0, -2) for p in parts)), *tokens)
    return result.movedim(-1, 1)


def fill_by_parts(result: Tensor, function: Callable[..., Tensor], *sources: Tensor) -> None:
    """Write `function` of the sources into `result`, part by part, without gradients.

    Args:
        result: (*grid, ...).
        function: Takes a part of each source, and returns the values of that part of the result,
            in their order but in any shape.
        *sources: (*grid, ...). Of the result and these, one has a single axis after the grid.
    """
    tensors = result, *sources
    grid = result.shape[: min(t.ndim for t in tensors) - 1]
    cell = max(math.prod(t.shape[len(grid) :]) for t in tensors)

    def compute(part: Index) -> None:
        target = result[part]
        target.copy_(function(*(source[part] for source in sources)).reshape(target.shape))

    parts = _cut(grid, cell, _largest_part(result.device, cell * math.prod(grid)))
    if result.device.type == "cpu":
        run_in_threads(compute, parts)
    else:
        for part in parts:
            compute(part)


def _largest_part(device: torch.device, values: int) -> int:
    """Values of a part, at most, of so many."""
    return part_values(values) if device.type == "cpu" else DEVICE_PART


def _cut(grid: Sequence[int], cell: int, limit: int) -> list[Index]:
    """Indices that cut a grid into parts of neighbouring cells.

    Args:
        grid: Cells along each axis.
        cell: Values of a cell.
        limit: Values of a part, at most, unless a cell has more.
    """
    inner = [cell * math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
    axis = next((a for a, values in enumerate(inner) if values <= limit), len(grid) - 1)
    step = max(1, limit // max(1, inner[axis]))
    slices = [slice(first, first + step) for first in range(0, grid[axis], step)]
    return [(*where, part) for where in product(*map(range, grid[:axis])) for part in slices]
