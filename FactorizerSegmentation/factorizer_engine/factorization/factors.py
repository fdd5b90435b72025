"""What kernels hand on in place of a mixed map: factors of rank 1 of a whole map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.factorization.matricize import Matricize


@dataclass(frozen=True)
class Factors:
    """Factors of rank 1 of all heads and shifted grids of a map, as with three axes.

    Attributes:
        u: Left factors (grids, B, gx, gy, gz, heads, d), float32.
        v: Right factors over the number of grids, at their voxels: (grids, B, X, Y, Z, heads).
        patch: Voxels of a window along each axis.
        shifts: (grids, 3), where voxel 0 is in each grid.
    """

    u: Tensor
    v: Tensor
    patch: tuple[int, ...]
    shifts: np.ndarray

    @classmethod
    def empty(cls, maps: Tensor, reshape: Matricize) -> Factors:
        """Memory for those of maps (B, X, Y, Z, C)."""
        batch, *size, _ = maps.shape
        grids, grid, heads = len(reshape.shifts), three(reshape.grid_size), reshape.num_heads
        u = maps.new_empty(grids, batch, *grid, heads, reshape.head_dim, dtype=torch.float32)
        v = maps.new_empty(grids, batch, *size, heads, dtype=torch.float32)
        shifts = np.array([np.mod(three(s, 0), size) for s in reshape.shifts], np.int64)
        return cls(u, v, three(reshape.patch_size), shifts)

    def projected(self, weight: Tensor) -> Tensor:
        """A linear map (C_out, C) of the left factors, head by head.

        Returns:
            (grids, B, gx, gy, gz, heads, C_out), float32. What the linear map makes of the mixed
            map is at every voxel the sum of these over grids and heads, times v there.
        """
        heads, d = self.u.shape[-2:]
        by_head = weight.detach().float().unflatten(1, (heads, d)).permute(1, 2, 0)
        result = torch.matmul(self.u.view(-1, heads, d).transpose(0, 1), by_head)
        return result.transpose(0, 1).contiguous().view(*self.u.shape[:-1], -1)


def as_tokens(x: Tensor) -> Tensor:
    """A map (B, C, *S) as (B, X, Y, Z, C), contiguous."""
    tokens = x.detach().movedim(1, -1).contiguous()
    return tokens.view(len(tokens), *three(tokens.shape[1:-1]), tokens.shape[-1])


def three(values: Sequence[int], missing: int = 1) -> tuple[int, ...]:
    """Numbers of axes as if there were three."""
    return (missing,) * (3 - len(values)) + tuple(values)
