"""Rank-1 mixing of whole maps through the kernels, with its gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from factorizer_engine.factorization.compiled import failure
from factorizer_engine.factorization.compiled.factors import mixing_kernels, rows_of_windows, three
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.threads import run_in_threads

PlainForm = Callable[[Tensor, Matricize, Tensor, int, float], Tensor]


def mix_rank_one_compiled(
    x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float, plain: PlainForm
) -> Tensor:
    """`mixing.mix_rank_one` by the kernels; differentiable once, with respect to x.

    Only x is kept for the gradient, which computes the factors anew. Half precision is computed in
    float32. The result does not depend on the number of threads.

    Args:
        x: Map (B, C, *S) for which `trust.serves` holds; channels-last memory saves a copy.
        reshape, v0, sweeps, eps: As for `mix_rank_one`.
        plain: Computes the same from the same five arguments by torch's operations. It is called
            instead, forward or backward, once a kernel has failed.

    Returns:
        (B, C, *S) in channels-last memory.
    """
    tokens = x.movedim(1, -1).contiguous()
    try:
        mixed = _CompiledMixing.apply(tokens, reshape, v0.detach(), sweeps, eps, plain)
    except failure.KernelError:
        return plain(x, reshape, v0, sweeps, eps)
    return mixed.movedim(-1, 1)


class _CompiledMixing(torch.autograd.Function):
    """Of maps (B, *S, C)."""

    @staticmethod
    def forward(ctx, maps, reshape, v0, sweeps, eps, plain) -> Tensor:
        ctx.save_for_backward(maps, v0)
        ctx.settings = reshape, sweeps, eps, plain
        with torch.autocast("cpu", enabled=False):
            return _run("mixing_kernel", (maps,), reshape, v0, sweeps, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        maps, v0 = ctx.saved_tensors
        reshape, sweeps, eps, plain = ctx.settings
        nothing = (None,) * 5
        if not failure.have_failed():
            try:
                return _run("gradient_kernel", (maps, gradient), reshape, v0, sweeps, eps), *nothing
            except failure.KernelError:
                pass
        with torch.enable_grad():
            leaf = maps.detach().movedim(-1, 1).requires_grad_()
            output = plain(leaf, reshape, v0, sweeps, eps)
        (found,) = torch.autograd.grad(output, leaf, gradient.movedim(-1, 1))
        return found.movedim(1, -1), *nothing


def _run(
    kernel: str, maps: tuple[Tensor, ...], reshape: Matricize, v0: Tensor, sweeps: int, eps: float
) -> Tensor:
    """A kernel of `mixing_kernels` on all grids: the first is written, the others are added."""
    result = torch.empty(maps[0].shape)
    arrays = [_as_array(m) for m in (*maps, result)]
    sources, target = arrays[:-1], arrays[-1]
    size = target.shape[1:4]
    start = v0.float().contiguous().numpy()
    settings = start, sweeps, np.float32(eps), np.float32(1 / len(reshape.shifts))
    with failure.guarded():
        compute = getattr(mixing_kernels(), kernel)(reshape.head_dim, three(reshape.patch_size))
        for number, shift in enumerate(reshape.shifts):
            offset = tuple(-s % n for s, n in zip(three(shift, 0), size, strict=True))

            def grid(rows: range, offset=offset, adds=number > 0) -> None:
                compute(*sources, rows.start, rows.stop, offset, *settings, adds, target)

            run_in_threads(grid, rows_of_windows(len(target), reshape))
    return result.to(maps[0].dtype)


def _as_array(maps: Tensor) -> np.ndarray:
    """Maps (B, *S, C) as (B, X, Y, Z, C) in float32."""
    size = three(maps.shape[1:-1])
    return maps.detach().float().contiguous().view(len(maps), *size, maps.shape[-1]).numpy()
