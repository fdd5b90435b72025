"""Windows of a cyclically shifted grid, cut from channels-last maps without rolling them.

A shifted grid wraps around the border of the map. Along each axis its windows are therefore read
from up to three pieces: whole windows, the two parts of the wrapped one, whole windows again.
Every piece is a slice of the map, and cutting or putting back windows is a few strided copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

Block = tuple[slice, ...]


@dataclass(frozen=True)
class _Piece:
    """Along one axis: windows of a block, the same voxels inside each, and their place in a map."""

    windows: slice
    inside: slice
    start: int

    @property
    def split(self) -> tuple[int, int]:
        """Number of windows, and of voxels in each."""
        return self.windows.stop - self.windows.start, self.inside.stop - self.inside.start

    @property
    def voxels(self) -> slice:
        return slice(self.start, self.start + math.prod(self.split))


class ShiftedWindows:
    """One grid of windows of maps (B, *S, C), as matrices (windows * B, P, C).

    Args:
        patch_size: Voxels of a window along each axis; divides S.
        shift: Cyclic shift of the map in voxels along each axis, as for `torch.roll`.
    """

    def __init__(self, patch_size: Sequence[int], shift: Sequence[int]) -> None:
        self._patch_size, self._shift = tuple(patch_size), tuple(shift)

    def blocks(self, spatial_size: Sequence[int], windows: int) -> Iterator[Block]:
        """Boxes of about so many windows (at least one) that make up the grid."""
        counts = [s // p for s, p in zip(spatial_size, self._patch_size, strict=True)]
        ranges = []
        for axis, count in enumerate(counts):
            step = min(max(1, windows // math.prod(counts[axis + 1 :])), count)
            ranges.append([slice(i, min(i + step, count)) for i in range(0, count, step)])
        return product(*ranges)

    def cut(self, maps: Tensor, block: Block, dtype: torch.dtype) -> Tensor:
        """A copy of the windows of a block."""
        windows = maps.new_empty(self._shape(maps, block), dtype=dtype)
        for pieces in self._pieces(maps, block):
            _inside(windows, pieces).copy_(_in_map(maps, pieces))
        return windows.view(-1, math.prod(self._patch_size), maps.shape[-1])

    def put(self, maps: Tensor, block: Block, windows: Tensor, add: bool) -> None:
        """Write the windows of a block to their places in the maps, or add them there."""
        windows = windows.view(self._shape(maps, block))
        for pieces in self._pieces(maps, block):
            target, source = _in_map(maps, pieces), _inside(windows, pieces)
            target.add_(source) if add else target.copy_(source)

    def _shape(self, maps: Tensor, block: Block) -> tuple[int, ...]:
        counts = (b.stop - b.start for b in block)
        return *counts, maps.shape[0], *self._patch_size, maps.shape[-1]

    def _pieces(self, maps: Tensor, block: Block) -> Iterator[tuple[_Piece, ...]]:
        axes = zip(maps.shape[1:-1], self._patch_size, self._shift, block, strict=True)
        return product(*(_axis_pieces(*axis) for axis in axes))


def _in_map(maps: Tensor, pieces: Sequence[_Piece]) -> Tensor:
    """View (*windows, B, *inside, C) of maps (B, *S, C)."""
    part = (slice(None), *(piece.voxels for piece in pieces))
    view = maps[part].view(
        maps.shape[0], *(n for piece in pieces for n in piece.split), maps.shape[-1]
    )
    axes = range(1, view.ndim - 1)
    return view.permute(*axes[::2], 0, *axes[1::2], view.ndim - 1)


def _inside(windows: Tensor, pieces: Sequence[_Piece]) -> Tensor:
    """The same of windows (*windows, B, *P, C)."""
    outer, inner = (piece.windows for piece in pieces), (piece.inside for piece in pieces)
    part = (*outer, slice(None), *inner)
    return windows[part]


def _axis_pieces(size: int, patch: int, shift: int, block: slice) -> list[_Piece]:
    """The pieces of the windows `block` along one axis, where voxel 0 of window 0 is `offset`."""
    offset = -shift % size
    wrapped, head = divmod(size - offset, patch)  # the map ends after `head` voxels of that window
    pieces = [_whole(block, 0, wrapped, patch, offset)]
    if head and block.start <= wrapped < block.stop:
        window = slice(wrapped - block.start, wrapped - block.start + 1)
        pieces.append(_Piece(window, slice(0, head), size - head))
        pieces.append(_Piece(window, slice(head, patch), 0))
    pieces.append(_whole(block, wrapped + bool(head), size // patch, patch, offset - size))
    return [piece for piece in pieces if piece.split[0] > 0]


def _whole(block: slice, first: int, end: int, patch: int, offset: int) -> _Piece:
    first, end = max(block.start, first), min(block.stop, end)
    windows = slice(first - block.start, end - block.start)
    return _Piece(windows, slice(0, patch), first * patch + offset)
