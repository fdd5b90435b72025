"""Linear maps and convolutions with gradients by oneDNN, for training on a processor.

In float32 torch itself prefers MKL for linear maps, which takes two to five times as long for long
and narrow matrices on processors that are not Intel's. With Y = X W^T + 1 b^T the gradients are

    dX = dY W,  dW = dY^T X,  db = dY^T 1,

of which the first is such a linear map again. And a convolution of a single map with few channels
goes to code that takes five times as long as oneDNN's, which a batch gets.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ONEDNN_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def differentiable_linear(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; where oneDNN serves it, it can be differentiated once."""
    if _serves(tokens) and _serves(weight):
        return _Linear.apply(tokens.contiguous(), weight.contiguous(), bias)
    return F.linear(tokens, weight, bias)


def differentiable_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv` of a map (B, C, *S) that keeps its size; kernels (C_out, C, *k) of odd extents."""
    convolve = (F.conv1d, F.conv2d, F.conv3d)[weight.dim() - 3]
    half, odd = divmod(x.shape[2], 2)
    around = weight.shape[2] // 2
    if weight.dim() < 5 or len(x) > 1 or odd or not (_serves(x) and _serves(weight)):
        return convolve(x, weight, padding="same")
    # A map cut in two, each with what its kernels see of the other, is a batch.
    padded = F.pad(x, [n // 2 for n in reversed(weight.shape[2:]) for _ in range(2)])
    halves = padded[:, :, : half + 2 * around], padded[:, :, -(half + 2 * around) :]
    return torch.cat(convolve(torch.cat(halves), weight).chunk(2), dim=2)


def _serves(x: Tensor) -> bool:
    return (
        _ONEDNN_LINEAR is not None
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(tokens, weight)
        return _onednn(tokens, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        tokens, weight = ctx.saved_tensors
        for_tokens, for_weight, for_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()
        rows = gradient.flatten(0, -2)
        return (
            _onednn(gradient, weight.t().contiguous()) if for_tokens else None,
            rows.t() @ tokens.flatten(0, -2) if for_weight else None,
            rows.sum(0) if for_bias else None,
        )


def _onednn(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _ONEDNN_LINEAR(tokens, weight, bias, "none", [], "none")
