"""Cutting a feature map into matrices, one per head and window, and putting it back together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Shift = int | Sequence[int] | None


class Matricize(nn.Module):
    """Local or global matricisation (paper section 3.3).

    A map (B, heads * d, g1 * p1, g2 * p2, ...) becomes matrices
    (B * heads, g1 * g2 * ..., d, p1 * p2 * ...): every head of every window is a d x P matrix whose
    columns are voxels.

    Args:
        size: (channels, *spatial size) of the maps; a leading batch entry is ignored.
        num_heads: Number of heads; or give `head_dim`.
        head_dim: Channels per head, the number of rows d.
        grid_size: Windows per axis (1 is *global*); or give `patch_size`.
        patch_size: Voxels per window and axis (*local*).
        shifts: Cyclic shift in voxels applied before cutting, for all axes or per axis.

    Raises:
        ValueError: If neither of a pair is given, or the map cannot be cut evenly.
    """

    def __init__(
        self,
        size: Sequence[int | None],
        num_heads: int | None = None,
        head_dim: int | None = None,
        grid_size: int | Sequence[int] | None = None,
        patch_size: int | Sequence[int] | None = None,
        shifts: Shift = None,
    ) -> None:
        super().__init__()
        channels, *spatial_size = _without_batch(size)
        dims = len(spatial_size)
        self.spatial_size = tuple(spatial_size)
        if head_dim is not None and num_heads is None:
            self.head_dim = head_dim
        elif num_heads is not None and head_dim is None:
            self.head_dim = channels // num_heads
        else:
            raise ValueError("Give either num_heads or head_dim.")
        self.num_heads = channels // self.head_dim
        if patch_size is not None and grid_size is None:
            self.patch_size = _per_axis(patch_size, dims)
            self.grid_size = tuple(
                s // p for s, p in zip(spatial_size, self.patch_size, strict=True)
            )
        elif grid_size is not None and patch_size is None:
            self.grid_size = _per_axis(grid_size, dims)
            self.patch_size = tuple(
                s // g for s, g in zip(spatial_size, self.grid_size, strict=True)
            )
        else:
            raise ValueError("Give either grid_size or patch_size.")
        if self.num_heads * self.head_dim != channels:
            raise ValueError(f"{channels} channels cannot be split into heads of {self.head_dim}.")
        if any(
            g * p != s
            for s, g, p in zip(spatial_size, self.grid_size, self.patch_size, strict=True)
        ):
            raise ValueError(
                f"A map of {self.spatial_size} voxels cannot be cut into {self.patch_size} windows."
            )
        self.shifts: tuple[tuple[int, ...], ...] = (_shift_per_axis(shifts, dims),)

    @property
    def output_size(self) -> tuple[None, int, int, int]:
        """(any, windows, rows d, columns P) of the matrices."""
        return None, math.prod(self.grid_size), self.head_dim, math.prod(self.patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) to (shifts * B * heads, windows, d, P), shift-major."""
        maps = [self.shift(x, shift) for shift in self.shifts]
        return torch.cat([self.cut(m) for m in maps]) if len(maps) > 1 else self.cut(maps[0])

    def inverse_forward(self, y: Tensor) -> Tensor:
        """(shifts * B * heads, windows, d', P) to (B, heads * d', *S), averaged over shifts.

        d' may differ from the head dimension: a map of weights (d' = 1) gives one channel per head.
        """
        parts = y.chunk(len(self.shifts))
        maps = [
            self.shift(self.join(part), [-s for s in shift])
            for part, shift in zip(parts, self.shifts, strict=True)
        ]
        return torch.stack(maps).mean(dim=0) if len(maps) > 1 else maps[0]

    def shift(self, x: Tensor, shift: Sequence[int]) -> Tensor:
        """Roll the spatial axes of (B, C, *S) cyclically by `shift` voxels."""
        if not any(shift):
            return x
        return torch.roll(x, tuple(shift), dims=tuple(range(2, x.ndim)))

    def cut(self, x: Tensor) -> Tensor:
        """(B, C, *S) to (B * heads, windows, d, P) without shifting."""
        dims = len(self.grid_size)
        batch, heads = x.shape[0], self.num_heads
        split = [n for pair in zip(self.grid_size, self.patch_size, strict=True) for n in pair]
        grid_axes = [3 + 2 * a for a in range(dims)]
        patch_axes = [4 + 2 * a for a in range(dims)]
        x = x.reshape(batch, heads, self.head_dim, *split)
        x = x.permute(0, 1, *grid_axes, 2, *patch_axes)
        return x.reshape(
            batch * heads, math.prod(self.grid_size), self.head_dim, math.prod(self.patch_size)
        )

    def join(self, y: Tensor) -> Tensor:
        """(B * heads, windows, d', P) to (B, heads * d', *S); the inverse of `cut`."""
        dims = len(self.grid_size)
        rows = y.shape[2]
        y = y.reshape(-1, self.num_heads, *self.grid_size, rows, *self.patch_size)
        pairs = [axis for a in range(dims) for axis in (2 + a, 3 + dims + a)]
        y = y.permute(0, 1, 2 + dims, *pairs)
        return y.reshape(y.shape[0], self.num_heads * rows, *self.spatial_size)

    def extra_repr(self) -> str:
        return (
            f"num_heads={self.num_heads}, head_dim={self.head_dim}, grid_size={self.grid_size}, "
            f"patch_size={self.patch_size}, shifts={self.shifts}"
        )


class SWMatricize(Matricize):
    """Matricisation on several cyclically shifted grids of windows (paper section 3.3, Swin).

    Args:
        size, num_heads, head_dim, grid_size, patch_size: As for `Matricize`.
        shifts: One entry per grid: None for unshifted, voxels for all axes, or voxels per axis.
            The default is two grids, unshifted and shifted by half a window.
    """

    def __init__(
        self,
        size: Sequence[int | None],
        num_heads: int | None = None,
        head_dim: int | None = None,
        grid_size: int | Sequence[int] | None = None,
        patch_size: int | Sequence[int] | None = None,
        shifts: Sequence[Shift] | None = None,
    ) -> None:
        super().__init__(size, num_heads, head_dim, grid_size, patch_size)
        if shifts is None:
            shifts = (None, tuple(p // 2 for p in self.patch_size))
        self.shifts = tuple(_shift_per_axis(s, len(self.spatial_size)) for s in shifts)


def _without_batch(size: Sequence[int | None]) -> list[int]:
    return [n for n in size if n is not None]


def _per_axis(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    return (int(value),) * dims if isinstance(value, int) else tuple(int(v) for v in value)


def _shift_per_axis(shift: Shift, dims: int) -> tuple[int, ...]:
    return (0,) * dims if shift is None else _per_axis(shift, dims)
