"""Kernels beside torch's form on a small map, before they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from factorizer_engine.factorization.matricize import SWMatricize
from factorizer_engine.factorization.rank_one import rank_one_factors

if TYPE_CHECKING:
    from factorizer_engine.factorization.backend import Backend

_SETTINGS = 5, 1e-16  # sweeps and guard of the published networks
_FEWEST_CHANNELS = 32
# Of the largest value: what no correct kernel comes near, and no wrong one stays below.
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 3e-3}


class Kind(NamedTuple):
    """What kernels are made for.

    Attributes:
        head_dim: Channels of a head.
        patch: Voxels of a window along each axis.
        device, dtype: Of the maps.
    """

    head_dim: int
    patch: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype


def factors_agree(kernels: Backend, kind: Kind) -> bool:
    """Whether kernels find factors, expand them and normalise as torch does."""
    return _on_its_own(_compare_factors, kernels, kind)


def mixing_agrees(kernels: Backend, kind: Kind) -> bool:
    """Whether kernels mix maps and find the gradient as torch does."""
    return _on_its_own(_compare_mixing, kernels, kind)


class _Sample:
    """Two small maps, one of whose windows is empty in the first, and what mixes them."""

    def __init__(self, kind: Kind) -> None:
        self.draw = torch.Generator().manual_seed(0)
        self.kind = kind
        heads = max(2, _FEWEST_CHANNELS // kind.head_dim)
        self.channels, size = heads * kind.head_dim, tuple(2 * p for p in kind.patch)
        self.reshape = SWMatricize(
            (self.channels, *size), head_dim=kind.head_dim, patch_size=kind.patch
        )
        self.x, self.tokens = self.normal(2, 2, self.channels, *size).to(kind.dtype)
        corner = (0, slice(None), *(slice(p) for p in kind.patch))
        self.x[corner] = -1.0
        start = torch.rand(self.reshape.output_size[-1], generator=self.draw) + 0.1
        self.v0 = start.to(kind.device)

    def normal(self, *size: int) -> Tensor:
        return torch.randn(*size, generator=self.draw).to(self.kind.device)

    def mixed(self, x: Tensor) -> Tensor:
        """By definition, in float64."""
        u, v = rank_one_factors(self.reshape(x.double().relu()), self.v0.double(), *_SETTINGS)
        return self.reshape.inverse_forward(u @ v.mT)


def _on_its_own(compare: Callable[[Backend, _Sample], bool], kernels: Backend, kind: Kind) -> bool:
    """Without what belongs to who asks: inference and autocast; tensors made here know neither."""
    with torch.inference_mode(False), torch.autocast(kind.device.type, enabled=False):
        return compare(kernels, _Sample(kind))


def _compare_factors(kernels: Backend, sample: _Sample) -> bool:
    channels, tokens = sample.channels, sample.tokens
    norm = nn.LayerNorm(channels).to(sample.kind.device)
    weight, bias = sample.normal(channels, channels), sample.normal(channels)

    def expand(which: int) -> Tensor:
        factors = kernels.find_factors(sample.x, sample.reshape, sample.v0, *_SETTINGS)
        spare = tokens.movedim(1, -1).contiguous().movedim(-1, 1)
        return kernels.expand(
            tokens, factors, weight, bias, norm, lambda *results: results[which], spare
        )

    with torch.no_grad():
        projected = torch.einsum("oc,bc...->bo...", weight.double(), sample.mixed(sample.x))
        y = tokens.double() + projected + bias.double().view(-1, *[1] * len(sample.kind.patch))
        rows = tokens.movedim(1, -1).reshape(-1, channels)
        pairs = [
            (expand(0), y),
            (expand(1), norm.double()(y.movedim(1, -1)).movedim(-1, 1)),
            (kernels.layer_norm(rows, norm.float()), norm.double()(rows.double())),
        ]
    return all(_near(*pair, sample.kind.dtype) for pair in pairs)


def _compare_mixing(kernels: Backend, sample: _Sample) -> bool:
    maps, gradient = (t.movedim(1, -1).contiguous() for t in (sample.x, sample.tokens))
    arguments = sample.reshape, sample.v0, *_SETTINGS
    found = kernels.mix(maps, *arguments), kernels.mixing_gradient(maps, gradient, *arguments)
    with torch.enable_grad():
        leaf = sample.x.double().requires_grad_()
        mixed = sample.mixed(leaf)
        # Of a scalar: for gradients that are given, PyTorch imports SymPy, which takes 0.4 s.
        (expected,) = torch.autograd.grad((mixed * sample.tokens.double()).sum(), leaf)
    pairs = zip(found, (mixed.detach(), expected), strict=True)
    return all(_near(ours.movedim(-1, 1), theirs, sample.kind.dtype) for ours, theirs in pairs)


def _near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    difference = (found.double() - expected).abs().max()
    return bool(difference < _TOLERANCES[dtype] * expected.abs().max())
