"""Linear maps with gradients by oneDNN, for training on a processor.

In float32 torch itself prefers MKL, which takes two to five times as long for long and narrow
matrices on processors that are not Intel's. With Y = X W^T + 1 b^T the gradients are

    dX = dY W,  dW = dY^T X,  db = dY^T 1,

of which the first is such a linear map again.
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
