"""Rank-1 mixing of whole maps in two fused GPU kernels, where Triton is there.

It computes what `mixing.mix_rank_one` computes: one kernel reads every window of every shifted grid
for its left factor u_T, a second reads the map again, projects, averages and writes. The gradient
takes two more, and computes the factors anew: only x and v_0 are kept for it. The mathematics is
in `rank_one` and, for the gradient, in `triton_backward_kernels`.

Triton is imported at the first map that could use it. A kernel that cannot be compiled or run is
reported in one line of the log, and the process takes the plain form from then on.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from factorizer_engine.factorization.matricize import Matricize

if TYPE_CHECKING:
    from factorizer_engine.factorization.triton_launcher import Launcher

PlainForm = Callable[[Tensor, Matricize, Tensor, int, float], Tensor]

_log = logging.getLogger(__name__)

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_MAX_HEAD_DIM = 128
_failed = False


def is_available(x: Tensor, reshape: Matricize) -> bool:
    """Whether `mix_rank_one_fused` takes this map: on a GPU with Triton, of a usual size and type.

    With TRITON_INTERPRET=1 in the environment of the process, maps in the CPU's memory are taken,
    too (and computed slowly, to test the kernels). Code that torch compiles takes the plain form.
    """
    return (
        not _failed
        and (x.is_cuda or (x.device.type == "cpu" and _interprets()))
        and x.dtype in _DTYPES
        and x.numel() > 0
        and 1 <= x.ndim - 2 <= 3
        and tuple(x.shape[1:]) == (reshape.num_heads * reshape.head_dim, *reshape.spatial_size)
        and reshape.head_dim <= _MAX_HEAD_DIM
        and not torch.compiler.is_compiling()
        and _triton() is not None
    )


def mix_rank_one_fused(
    x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float, plain: PlainForm
) -> Tensor:
    """Average over the shifted grids of the rank-1 reconstruction of ReLU(x), by fused kernels.

    Deterministic, forward and backward; sums are in float32. Differentiable once, with respect to
    x and v0.

    Args:
        x: Map (B, C, *S) for which `is_available` holds; channels-last memory saves a copy.
        reshape: The matricisation.
        v0: The starting right factor (P,), positive.
        sweeps: Number of HALS sweeps T, at least 1.
        eps: The solver's guard, positive.
        plain: Computes the same from the same five arguments by torch's operations. It is called
            instead, forward or backward, once a kernel has failed.

    Returns:
        (B, C, *S) in channels-last memory.
    """
    if v0.numel() != reshape.output_size[3] or v0.device != x.device:
        return plain(x, reshape, v0, sweeps, eps)  # which says what is wrong
    try:
        return _FusedMixing.apply(x, v0, reshape, sweeps, eps, plain)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # whatever the compiler or the driver raises
        _give_up(error)
        return plain(x, reshape, v0, sweeps, eps)


class _FusedMixing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, v0, reshape, sweeps, eps, plain) -> Tensor:
        ctx.save_for_backward(x, v0)
        ctx.settings = reshape, sweeps, eps, plain
        return _launcher(x, reshape, v0, sweeps, eps).forward()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, v0 = ctx.saved_tensors
        reshape, sweeps, eps, plain = ctx.settings
        for_x, for_v0 = ctx.needs_input_grad[:2]
        nothing = (None,) * 4
        if not _failed:
            try:
                launcher = _launcher(x, reshape, v0, sweeps, eps)
                return *launcher.backward(gradient, for_x, for_v0), *nothing
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:  # whatever the compiler or the driver raises
                _give_up(error)
        with torch.enable_grad():
            leaves = x.detach().requires_grad_(for_x), v0.detach().requires_grad_(for_v0)
            output = plain(leaves[0], reshape, leaves[1], sweeps, eps)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(output, wanted, gradient, allow_unused=True))
        return *(next(found) if leaf.requires_grad else None for leaf in leaves), *nothing


def _interprets() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache(maxsize=1)
def _triton() -> ModuleType | None:
    """`triton_launcher`, or None where Triton is missing or cannot be imported."""
    try:
        return importlib.import_module("factorizer_engine.factorization.triton_launcher")
    except ImportError:
        return None
    except Exception as error:  # a broken installation
        _give_up(error)
        return None


def _launcher(x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Launcher:
    """For a map for which `is_available` holds."""
    module = _triton()
    assert module is not None
    return module.Launcher(x, reshape, v0, sweeps, eps)


def _give_up(error: Exception) -> None:
    """Take the plain form from now on, and say so once."""
    global _failed
    if not _failed:
        reason = next(iter(str(error).splitlines()), "")
        _log.warning(
            "Triton cannot run the fused mixing kernels here (%s: %s); using the plain form.",
            type(error).__name__,
            reason,
        )
    _failed = True
