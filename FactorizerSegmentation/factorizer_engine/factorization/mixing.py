"""Rank-1 mixing of whole maps: ReLU, matricise, rank-1 NMF, put back, average over the shifts.

Maps are read channels-last, as tokens (voxels, channels). A grid of windows, shifted or not, is an
order of the tokens, so that cutting and rolling are one gather, joining and rolling back another.
Everything between is matrix products over all heads of a window at once: heads are read off the
diagonal blocks of the windows' Gram matrices, and projected through block-diagonal factors.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.rank_one import left_factor

# Channels whose Gram matrices are formed together: fewer waste less work off the diagonal blocks,
# more make better use of the matrix product.
_GRAM_CHANNELS = 32


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
    batch, channels, *spatial_size = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        tokens = torch.relu(x).to(dtype).movedim(1, -1).reshape(-1, channels)
        starts = torch.stack([v0, torch.ones_like(v0)]).to(dtype)
        mixed = None
        for shift in reshape.shifts:
            order, inverse = _orders(reshape, shift, batch, x.device)
            windows = _Gather.apply(tokens, order, inverse).view(-1, v0.numel(), channels)
            windows = _project(windows, starts, reshape.head_dim, sweeps, eps)
            part = _Gather.apply(windows.view(-1, channels), inverse, order)
            mixed = part if mixed is None else mixed.add_(part)
        mixed = mixed.div_(len(reshape.shifts)).to(x.dtype)
    return mixed.view(batch, *spatial_size, channels).movedim(-1, 1)


def _project(x: Tensor, starts: Tensor, head_dim: int, sweeps: int, eps: float) -> Tensor:
    """Rank-1 reconstruction of every head of windows (N, P, C).

    `starts` (2, P) holds v_0 and ones, so that one product gives X v_0 and X 1.
    """
    heads = x.shape[-1] // head_dim
    start, row_sum = (starts @ x).unflatten(-1, (heads, head_dim)).unbind(1)  # each (N, heads, d)
    v0 = starts[0]
    u = left_factor(_grams(x, head_dim), row_sum, start, v0 @ v0, v0.numel(), sweeps, eps)
    scaled = u / ((u * u).sum(-1, keepdim=True) + eps)
    # v = (X^T u + eps) / c for all heads at once, (N, P, heads)
    v = torch.baddbmm(_over_columns(eps, u), x, _block_column(scaled))
    return v @ _block_column(u).mT


def _over_columns(eps: float, u: Tensor) -> Tensor:
    """eps / c of every head, (N, 1, heads), to be broadcast over the columns."""
    return (eps / ((u * u).sum(-1) + eps)).unsqueeze(1)


def _grams(x: Tensor, head_dim: int) -> Tensor:
    """X X^T of every head, (N, heads, d, d), of windows (N, P, C)."""
    group = head_dim * max(_GRAM_CHANNELS // head_dim, 1)
    blocks = []
    for channels in x.split(group, dim=-1):
        gram = (channels.mT @ channels).unflatten(1, (-1, head_dim)).unflatten(3, (-1, head_dim))
        blocks.append(gram.diagonal(dim1=1, dim2=3).movedim(-1, 1))
    return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


def _block_column(u: Tensor) -> Tensor:
    """Vectors (N, heads, d) on the blocks of a matrix (N, heads * d, heads), zeros elsewhere."""
    heads = u.shape[1]
    return (u.unsqueeze(-1) * torch.eye(heads, dtype=u.dtype, device=u.device)[:, None]).flatten(
        1, 2
    )


class _Gather(torch.autograd.Function):
    """Rows of x in another order; the gradient is a gather too, which is faster than a scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        order, inverse = ctx.saved_tensors
        return _Gather.apply(gradient.contiguous(), inverse, order), None, None


def _orders(
    reshape: Matricize, shift: tuple[int, ...], batch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token indices in window order, and the inverse permutation, for a batch of maps."""
    orders = _map_orders(reshape.spatial_size, reshape.patch_size, shift, device)
    if batch == 1:
        return orders
    offsets = torch.arange(batch, device=device, dtype=torch.int32) * math.prod(
        reshape.spatial_size
    )
    return tuple((offsets[:, None] + order).flatten() for order in orders)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what inference leaves in the cache must serve training too
def _map_orders(
    spatial_size: tuple[int, ...],
    patch_size: tuple[int, ...],
    shift: tuple[int, ...],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    voxels = torch.arange(math.prod(spatial_size), dtype=torch.int32).reshape(1, 1, *spatial_size)
    cutter = Matricize((1, *spatial_size), num_heads=1, patch_size=patch_size)
    order = cutter.cut(cutter.shift(voxels, shift)).flatten()
    inverse = torch.empty_like(order)
    inverse[order.long()] = torch.arange(order.numel(), dtype=torch.int32)
    return order.to(device), inverse.to(device)
