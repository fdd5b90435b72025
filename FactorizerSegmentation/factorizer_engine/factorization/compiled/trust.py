"""Whether the kernels serve a map, and whether they compute what they should on this computer."""

from __future__ import annotations

import logging
from threading import RLock

import torch
from torch import Tensor

from factorizer_engine.factorization.compiled.factors import Expansion, find_factors, layer_norm
from factorizer_engine.factorization.compiled.factors import kernels as load_kernels
from factorizer_engine.factorization.matricize import Matricize, SWMatricize
from factorizer_engine.factorization.rank_one import rank_one_factors

_log = logging.getLogger(__name__)

_MOST_COLUMNS = 4096  # a window's head must stay in the cache
_TOLERANCE = 1e-4  # of the largest value
_lock = RLock()
_verdicts: dict[tuple[int, tuple[int, ...]], bool] = {}
_failed = False


def is_available(x: Tensor, reshape: Matricize) -> bool:
    """Whether the kernels take this map: float32 in the CPU's memory, without gradients, its heads
    of a multiple of four channels, its factors no larger than itself.

    The first map of its kind waits until the kernels are compiled and compared.
    """
    return (
        not _failed
        and type(x) is Tensor
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and 1 <= x.ndim - 2 <= 3
        and tuple(x.shape[1:]) == (reshape.num_heads * reshape.head_dim, *reshape.spatial_size)
        and reshape.head_dim % 4 == 0
        and reshape.num_heads <= reshape.output_size[-1] <= _MOST_COLUMNS
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and _is_right(reshape)
    )


def _is_right(reshape: Matricize) -> bool:
    """Whether the kernels, compared once, compute what torch does for such windows."""
    kind = reshape.head_dim, reshape.patch_size
    with _lock:
        if kind not in _verdicts and not _failed:
            try:
                _verdicts[kind] = _agrees(*kind)
            except Exception as error:  # whatever importing or compiling raises
                _give_up(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}")
            else:
                if not _verdicts[kind]:
                    _give_up("they do not compute what PyTorch does")
        return not _failed and _verdicts[kind]


def _agrees(head_dim: int, patch: tuple[int, ...]) -> bool:
    """Compare the kernels with torch's form on a small map, one of whose windows is empty."""
    if load_kernels().is_interpreted():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    size, channels = tuple(2 * p for p in patch), 2 * head_dim
    reshape = SWMatricize((channels, *size), head_dim=head_dim, patch_size=patch)
    draw = torch.Generator().manual_seed(0)
    x, tokens = torch.randn(2, 2, channels, *size, generator=draw)
    corner = (0, slice(None), *(slice(p) for p in patch))
    x[corner] = -1.0
    v0 = torch.rand(reshape.output_size[-1], generator=draw) + 0.1
    weight = torch.randn(channels, channels, generator=draw)
    bias, norm = torch.randn(channels, generator=draw), torch.nn.LayerNorm(channels)

    factors = find_factors(x, reshape, v0, 5, 1e-16)
    u, v = rank_one_factors(reshape(x.relu()), v0, 5, 1e-16)
    mixed = reshape.inverse_forward(u @ v.mT).movedim(1, -1).reshape(-1, channels)
    y = tokens.movedim(1, -1).reshape(-1, channels) + mixed @ weight.T + bias
    expansion = Expansion(tokens, factors, weight, bias, norm)
    sums, normed = zip(*(expansion(part) for part in expansion.parts), strict=True)
    found = torch.cat(sums), torch.cat(normed), layer_norm(y, norm)
    return all(
        bool((ours - theirs).abs().max() < _TOLERANCE * theirs.abs().max())
        for ours, theirs in zip(found, (y, norm(y), norm(y)), strict=True)
    )


def _give_up(reason: str) -> None:
    """Take torch's form from now on, and say so once."""
    global _failed
    _log.warning("The compiled kernels cannot be used here (%s); using PyTorch's form.", reason)
    _failed = True
