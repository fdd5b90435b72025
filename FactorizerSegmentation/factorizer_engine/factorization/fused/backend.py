"""Whole maps through the fused kernels."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from factorizer_engine.factorization.backend import Backend, Then, linear_dtype
from factorizer_engine.factorization.factors import Factors, as_tokens
from factorizer_engine.factorization.fused.launcher import (
    Launcher,
    expand_lines,
    normalise,
    on_device,
)
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.threads import DEVICE_PART

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_MOST_HEAD_CHANNELS = 128
_MOST_CHANNELS = 4096  # of which the layer norm of a voxel is one program's


class FusedKernels(Backend):
    """For graphics cards with Triton, and maps of a usual size and type.

    Results repeat exactly, forward and backward.
    """

    family = "kernels for graphics cards"

    def serves(self, device: torch.device, dtype: torch.dtype) -> bool:
        on_card = device.type == "cuda" and torch.cuda.is_available()
        return dtype in _DTYPES and (on_card or (device.type == "cpu" and _interprets()))

    def suits(self, reshape: Matricize) -> bool:
        channels = reshape.num_heads * reshape.head_dim
        return reshape.head_dim <= _MOST_HEAD_CHANNELS and channels <= _MOST_CHANNELS

    def layer_norm(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        rows = x.contiguous()
        result = torch.empty_like(rows, dtype=linear_dtype(x))
        with self.trust.guarded(), on_device(x):
            normalise(rows, norm, result)
        return result

    def find_factors(
        self, x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float
    ) -> Factors:
        tokens = as_tokens(x)
        factors = Factors.empty(tokens, reshape)
        with self.trust.guarded(), on_device(x):
            Launcher(tokens, reshape, v0, sweeps, eps).find(factors)
        return factors

    def expand(
        self,
        x: Tensor,
        factors: Factors,
        weight: Tensor,
        bias: Tensor,
        norm: nn.LayerNorm,
        then: Then,
        spare: Tensor,
    ) -> Tensor:
        tokens, dtype = as_tokens(x), linear_dtype(x)
        batch, *size, channels = tokens.shape
        with torch.autocast(x.device.type, enabled=False):
            projected = factors.projected(weight)

        def compute(lines: range) -> Tensor:
            rows = len(lines) * size[2], channels
            y = tokens.new_empty(rows, dtype=torch.promote_types(x.dtype, dtype))
            normed = tokens.new_empty(rows, dtype=dtype)
            with self.trust.guarded(), on_device(x):
                expand_lines(lines, tokens, factors, projected, bias, norm, y, normed)
            return then(y, normed)

        count = batch * size[0] * size[1]
        step = max(1, DEVICE_PART // (size[2] * channels))
        parts = [compute(range(i, min(i + step, count))) for i in range(0, count, step)]
        rows = torch.cat(parts) if len(parts) > 1 else parts[0]
        return rows.view(batch, *x.shape[2:], channels).movedim(-1, 1)

    def mix(self, maps: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
        tokens = as_tokens(maps.movedim(-1, 1))
        factors, mixed = Factors.empty(tokens, reshape), torch.empty_like(tokens)
        with self.trust.guarded(), on_device(maps):
            launcher = Launcher(tokens, reshape, v0, sweeps, eps)
            launcher.find(factors)
            launcher.reconstruct(factors, mixed)
        return mixed.view(maps.shape)

    def mixing_gradient(
        self,
        maps: Tensor,
        gradient: Tensor,
        reshape: Matricize,
        v0: Tensor,
        sweeps: int,
        eps: float,
    ) -> Tensor:
        tokens, of_mixed = (as_tokens(m.movedim(-1, 1)) for m in (maps, gradient))
        result = torch.empty_like(tokens)
        with self.trust.guarded(), on_device(maps):
            Launcher(tokens, reshape, v0, sweeps, eps).differentiate(of_mixed, result)
        return result.view(maps.shape)


def _interprets() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"
