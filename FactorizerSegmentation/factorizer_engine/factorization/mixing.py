"""Rank-1 mixing of whole maps: ReLU, matricise, rank-1 NMF, put back, average over the shifts.

Where there are kernels, it is their work: on a GPU that of `fused`, on a CPU that of `compiled`.
Elsewhere maps are read channels-last.
Blocks of windows are cut from them, small enough to stay in the processor's cache, and everything
between is matrix products over groups of heads at once. With a window X (P x channels here),
G = X^T X, s = X^T 1, a = X^T v_0 and K = (dY)^T X, of which only the heads' own blocks matter, the
reconstruction is Y = (X u + eps) u^T / c, where u depends on G, s and a alone (see `rank_one`), and

    dX = X (dG + dG^T) + dY u u^T / c + 1 ds^T + v_0 da^T

with dG, ds and da from <dY, Y> = (u^T K u + eps u^T (dY)^T 1) / c, a function of u. So nothing but
the map, G, s and a has to be remembered for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from factorizer_engine.factorization.backend import Backend
from factorizer_engine.factorization.backends import BACKENDS
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.rank_one import left_factor
from factorizer_engine.factorization.shifted_windows import Block, ShiftedWindows
from factorizer_engine.factorization.trust import KernelError

# Channels multiplied at once: fewer waste less work off the diagonal blocks, more make better use
# of the matrix product.
_GROUP_CHANNELS = 32
# Values of a block of windows: 16 MiB in float32, which stay in a cache of the last level.
_BLOCK_VALUES = 2**22

Statistics = tuple[Tensor, Tensor, Tensor]


def mix_rank_one(x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
    """Average over the shifted grids of the rank-1 reconstruction of ReLU(x).

    Equals `reshape.inverse_forward(u @ v.mT)` with `rank_one_factors` of `reshape(relu(x))` up to
    rounding. Half precision is computed in float32, because Gram matrices hold squares.

    Args:
        x: Map (B, C, *S) of any sign; channels-last memory saves a copy.
        reshape: The matricisation.
        v0: The starting right factor (P,), positive.
        sweeps: Number of HALS sweeps T.
        eps: The solver's guard.

    Returns:
        (B, C, *S) in channels-last memory.
    """
    if tuple(x.shape[2:]) != reshape.spatial_size:
        raise ValueError(
            f"The mixer takes {reshape.spatial_size} voxels, not {tuple(x.shape[2:])}."
        )
    tokens = x.movedim(1, -1).contiguous()
    for kernels in BACKENDS:
        if kernels.mixes(x, reshape, v0):
            with suppress(KernelError):
                mixed = _KernelMixing.apply(tokens, kernels, reshape, v0.detach(), sweeps, eps)
                return mixed.movedim(-1, 1)
    return mix_in_blocks(tokens.movedim(-1, 1), reshape, v0, sweeps, eps)


def mix_in_blocks(x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
    """`mix_rank_one` by torch's operations, on any device."""
    tokens = x.movedim(1, -1).contiguous()
    return _RankOneMixing.apply(tokens, v0, reshape, sweeps, eps).movedim(-1, 1)


class _KernelMixing(torch.autograd.Function):
    """`mix_rank_one` of maps (B, *S, C) by kernels, which find the factors anew for the gradient.

    Only the maps are kept for it; the starting factor is a constant.
    """

    @staticmethod
    def forward(ctx, maps: Tensor, kernels: Backend, *settings) -> Tensor:
        ctx.kernels, (reshape, v0, *numbers) = kernels, settings
        ctx.save_for_backward(maps, v0)
        ctx.settings = reshape, numbers
        with torch.autocast(maps.device.type, enabled=False):
            return kernels.mix(maps, reshape, v0, *numbers)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        (maps, v0), (reshape, numbers) = ctx.saved_tensors, ctx.settings
        nothing = (None,) * 5
        if not ctx.kernels.trust.failed:
            with suppress(KernelError):
                found = ctx.kernels.mixing_gradient(
                    maps, gradient.contiguous(), reshape, v0, *numbers
                )
                return found, *nothing
        with torch.enable_grad():
            leaf = maps.detach().requires_grad_()
            output = _RankOneMixing.apply(leaf, v0, reshape, *numbers)
        return *torch.autograd.grad(output, leaf, gradient), *nothing


class _RankOneMixing(torch.autograd.Function):
    """`mix_rank_one` of maps (B, *S, C); the starting factor is a constant."""

    @staticmethod
    def forward(ctx, maps: Tensor, v0: Tensor, reshape: Matricize, sweeps: int, eps: float):
        projection = _Projection(v0, reshape, sweeps, eps, maps.dtype)
        mixed = torch.empty_like(maps, dtype=projection.dtype)
        remembered: list[Tensor] = []
        with torch.autocast(maps.device.type, enabled=False):
            for windows, block, is_first in projection.blocks(maps):
                x = windows.cut(maps, block, projection.dtype).relu_()
                statistics = projection.statistics(x)
                windows.put(mixed, block, projection.project(x, statistics), add=not is_first)
                remembered.extend(statistics)
        ctx.projection = projection
        ctx.save_for_backward(maps, *remembered)
        return mixed.to(maps.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        projection, (maps, *remembered) = ctx.projection, ctx.saved_tensors
        gradient = gradient.contiguous()
        result = torch.empty_like(maps, dtype=projection.dtype)
        statistics = zip(*[iter(remembered)] * 3, strict=True)
        with torch.autocast(maps.device.type, enabled=False):
            for windows, block, is_first in projection.blocks(maps):
                x = windows.cut(maps, block, projection.dtype).relu_()
                dy = windows.cut(gradient, block, projection.dtype)
                dx = projection.backward(x, dy, next(statistics))
                windows.put(result, block, dx.mul_(x > 0), add=not is_first)
        return result.to(maps.dtype), None, None, None, None


class _Projection:
    """Rank-1 reconstruction of every head of windows, divided by the number of grids.

    Windows are X (N, P, C), the transposes of the matrices in `rank_one` beside each other.
    Statistics are the heads' G (N, heads, d, d), s and a (N, heads, d).
    """

    def __init__(
        self, v0: Tensor, reshape: Matricize, sweeps: int, eps: float, dtype: torch.dtype
    ) -> None:
        self.dtype = torch.promote_types(dtype, torch.float32)
        self._starts = torch.stack([v0, torch.ones_like(v0)]).to(self.dtype)  # (2, P)
        self._sweeps, self._eps = sweeps, eps
        self._reshape, self._weight = reshape, 1 / len(reshape.shifts)
        self._head_dim = reshape.head_dim
        self._group = self._head_dim * max(_GROUP_CHANNELS // self._head_dim, 1)

    def blocks(self, maps: Tensor) -> Iterator[tuple[ShiftedWindows, Block, bool]]:
        """All blocks of windows of all grids, and whether the grid is the first."""
        reshape = self._reshape
        values = math.prod(reshape.patch_size) * maps.shape[0] * maps.shape[-1]
        for number, shift in enumerate(reshape.shifts):
            windows = ShiftedWindows(reshape.patch_size, shift)
            for block in windows.blocks(reshape.spatial_size, _BLOCK_VALUES // values):
                yield windows, block, number == 0

    def statistics(self, x: Tensor) -> Statistics:
        start, row_sum = self._per_head(self._starts @ x).unbind(1)
        return self._products(x, x), row_sum, start

    def project(self, x: Tensor, statistics: Statistics) -> Tensor:
        u = self._left_factor(*statistics)
        scale = self._scale(u)
        # v = (X^T u + eps) / c for all heads at once, (N, P, heads)
        v = torch.baddbmm(self._eps * scale.mT, x, _block_column(scale * u))
        return v @ _block_column(u).mT

    def backward(self, x: Tensor, dy: Tensor, statistics: Statistics) -> Tensor:
        """Gradient with respect to x, when dy (N, P, C) is that of the reconstruction."""
        cross, dy_sum = self._products(dy, x), self._per_head(dy.sum(1))
        leaves = [part.detach().requires_grad_() for part in statistics]
        with torch.enable_grad():
            u = self._left_factor(*leaves)
            # <dY, u v^T> as a function of u, which is a function of the statistics
            dy_v = (cross @ u.unsqueeze(-1)).squeeze(-1) + self._eps * dy_sum
            objective = (self._scale(u) * u * dy_v).sum()
        dgram, dsum, dstart = torch.autograd.grad(objective, leaves)
        u = u.detach()
        dx = self._starts.mT @ torch.stack([dstart, dsum], dim=1).flatten(2)
        dx.baddbmm_(dy @ _block_column(self._scale(u) * u), _block_column(u).mT)
        for part, x_part, blocks in zip(
            *(a.split(self._group, dim=-1) for a in (dx, x)),
            (dgram + dgram.mT).split(self._group // self._head_dim, dim=1),
            strict=True,
        ):
            part.baddbmm_(x_part, _block_diagonal(blocks))
        return dx

    def _left_factor(self, gram: Tensor, row_sum: Tensor, start: Tensor) -> Tensor:
        v0 = self._starts[0]
        return left_factor(gram, row_sum, start, v0 @ v0, v0.numel(), self._sweeps, self._eps)

    def _scale(self, u: Tensor) -> Tensor:
        """1 / c over the number of grids, (N, heads, 1)."""
        return self._weight / ((u * u).sum(-1, keepdim=True) + self._eps)

    def _per_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self._head_dim))

    def _products(self, x: Tensor, y: Tensor) -> Tensor:
        """x^T y of every head, (N, heads, d, d), of windows (N, P, C)."""
        blocks = []
        for left, right in zip(*(a.split(self._group, dim=-1) for a in (x, y)), strict=True):
            product = left.mT @ right
            product = self._per_head(product).unflatten(1, (-1, self._head_dim))
            blocks.append(product.diagonal(dim1=1, dim2=3).movedim(-1, 1))
        return torch.cat(blocks, dim=1)


def _block_column(u: Tensor) -> Tensor:
    """Vectors (N, heads, d) on the blocks of a matrix (N, heads * d, heads), zeros elsewhere."""
    return (u.unsqueeze(-1) * _identity(u).unsqueeze(1)).flatten(1, 2)


def _block_diagonal(blocks: Tensor) -> Tensor:
    """Matrices (N, heads, d, d) on the diagonal of one (N, heads * d, heads * d)."""
    return (blocks.unsqueeze(3) * _identity(blocks)[:, None, :, None]).flatten(3).flatten(1, 2)


def _identity(heads: Tensor) -> Tensor:
    return torch.eye(heads.shape[1], dtype=heads.dtype, device=heads.device)
