"""Whether the kernels serve a map, and whether they compute what they should on this computer."""

from __future__ import annotations

from threading import RLock

import torch
from torch import Tensor

from factorizer_engine.factorization.compiled import failure
from factorizer_engine.factorization.compiled.factors import Expansion, find_factors, layer_norm
from factorizer_engine.factorization.compiled.factors import kernels as load_kernels
from factorizer_engine.factorization.compiled.mixing import mix_rank_one_compiled
from factorizer_engine.factorization.matricize import Matricize, SWMatricize
from factorizer_engine.factorization.rank_one import rank_one_factors

_MOST_COLUMNS = 4096  # a window's head must stay in the cache
_FEWEST_VALUES = 2**14  # of a map for whose mixing as a layer it is worth to compile
_TOLERANCE = 1e-4  # of the largest value
_HALVES = (torch.bfloat16, torch.float16)

# Head size, voxels of a window, and whether the layer with its gradient is meant.
_Kind = tuple[int, tuple[int, ...], bool]
_lock = RLock()
_verdicts: dict[_Kind, bool] = {}


def is_available(x: Tensor, reshape: Matricize) -> bool:
    """Whether `find_factors` takes this map: float32, without gradients and autocast, its factors
    no larger than itself.

    The first map of its kind waits until the kernels are compiled and compared.
    """
    return (
        x.dtype == torch.float32
        and reshape.num_heads <= reshape.output_size[-1]
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and _fits(x, reshape)
        and _is_right((reshape.head_dim, reshape.patch_size, False))
    )


def mixes(x: Tensor, reshape: Matricize, v0: Tensor) -> bool:
    """Whether `mix_rank_one_compiled` takes this map, with or without gradients of it.

    The first map of its kind waits until the kernels are compiled and compared.
    """
    return (
        (x.dtype == torch.float32 or x.dtype in _HALVES)
        and x.numel() >= _FEWEST_VALUES
        and v0.numel() == reshape.output_size[-1]
        and v0.device == x.device
        and _fits(x, reshape)
        and _is_right((reshape.head_dim, reshape.patch_size, True))
    )


def is_waiting(reshape: Matricize) -> bool:
    """Whether the kernels of `find_factors` for such windows are yet to be compiled or loaded."""
    return (
        not failure.have_failed()
        and _suits(reshape)
        and (reshape.head_dim, reshape.patch_size, False) not in _verdicts
    )


def prepare(reshape: Matricize) -> None:
    """Compile or load them now, and compare them."""
    _is_right((reshape.head_dim, reshape.patch_size, False))


def _suits(reshape: Matricize) -> bool:
    """Heads of a multiple of four channels, in windows that stay in the cache."""
    return reshape.head_dim % 4 == 0 and reshape.output_size[-1] <= _MOST_COLUMNS


def _fits(x: Tensor, reshape: Matricize) -> bool:
    """Whether kernels take such maps in the CPU's memory."""
    return (
        not failure.have_failed()
        and type(x) is Tensor
        and x.device.type == "cpu"
        and x.numel() > 0
        and 1 <= x.ndim - 2 <= 3
        and tuple(x.shape[1:]) == (reshape.num_heads * reshape.head_dim, *reshape.spatial_size)
        and _suits(reshape)
        and not torch.compiler.is_compiling()
    )


def _is_right(kind: _Kind) -> bool:
    """Whether the kernels, compared once, compute what torch does for such windows."""
    with _lock:
        if kind not in _verdicts and not failure.have_failed():
            try:
                _verdicts[kind] = _agrees(kind)
            except Exception as error:  # whatever importing or compiling raises
                failure.give_up(error)
            else:
                if not _verdicts[kind]:
                    failure.give_up("they do not compute what PyTorch does")
        return not failure.have_failed() and _verdicts[kind]


def _agrees(kind: _Kind) -> bool:
    """Compare the kernels with torch's form on a small map, one of whose windows is empty."""
    if load_kernels().is_interpreted():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    head_dim, patch, whole_layer = kind
    size, channels = tuple(2 * p for p in patch), 2 * head_dim
    reshape = SWMatricize((channels, *size), head_dim=head_dim, patch_size=patch)
    draw = torch.Generator().manual_seed(0)
    x, tokens = torch.randn(2, 2, channels, *size, generator=draw)
    corner = (0, slice(None), *(slice(p) for p in patch))
    x[corner] = -1.0
    v0 = torch.rand(reshape.output_size[-1], generator=draw) + 0.1
    compare = _layer_agrees if whole_layer else _factors_agree
    # Autocast and inference belong to who asks; tensors made here know neither.
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        return compare(x.clone(), tokens.clone(), reshape, v0.clone(), draw)


def _factors_agree(
    x: Tensor, tokens: Tensor, reshape: Matricize, v0: Tensor, draw: torch.Generator
) -> bool:
    channels = x.shape[1]
    weight = torch.randn(channels, channels, generator=draw)
    bias, norm = torch.randn(channels, generator=draw), torch.nn.LayerNorm(channels)
    with torch.no_grad():
        factors = find_factors(x, reshape, v0, 5, 1e-16)
        mixed = _by_definition(x, reshape, v0).movedim(1, -1).reshape(-1, channels)
        y = tokens.movedim(1, -1).reshape(-1, channels) + mixed @ weight.T + bias
        expansion = Expansion(tokens, factors, weight, bias, norm)
        found = [torch.cat(t) for t in zip(*map(expansion, expansion.parts), strict=True)]
        found.append(layer_norm(y, norm))
        expected = y, norm(y), norm(y)
        return all(_near(*pair) for pair in zip(found, expected, strict=True))


def _layer_agrees(
    x: Tensor, gradient: Tensor, reshape: Matricize, v0: Tensor, draw: torch.Generator
) -> bool:
    def compute(function, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        leaf = x.to(dtype).requires_grad_()
        output = function(leaf, reshape, v0.to(dtype))
        return output.detach(), *torch.autograd.grad(output, leaf, gradient.to(dtype))

    def kernels(leaf: Tensor, reshape: Matricize, v0: Tensor) -> Tensor:
        return mix_rank_one_compiled(leaf, reshape, v0, 5, 1e-16, plain=_refuse)

    with torch.enable_grad():
        found = compute(kernels, torch.float32)
        expected = compute(_by_definition, torch.float64)
    return all(_near(*pair) for pair in zip(found, expected, strict=True))


def _by_definition(x: Tensor, reshape: Matricize, v0: Tensor) -> Tensor:
    u, v = rank_one_factors(reshape(x.relu()), v0, 5, 1e-16)
    return reshape.inverse_forward(u @ v.mT)


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() < _TOLERANCE * expected.abs().max())


def _refuse(*_) -> Tensor:
    raise RuntimeError("a kernel failed")
