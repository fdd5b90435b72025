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
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from factorizer_engine.factorization.threads import part_values, run_in_threads

_ONEDNN_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def differentiable_linear(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; where oneDNN serves it, it can be differentiated once."""
    if serves(tokens) and serves(weight):
        return _Linear.apply(tokens.contiguous(), weight.contiguous(), bias)
    return F.linear(tokens, weight, bias)


def differentiable_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv` of a map (B, C, *S) that keeps its size; kernels (C_out, C, *k) of odd extents."""
    convolve = (F.conv1d, F.conv2d, F.conv3d)[weight.dim() - 3]
    half, odd = divmod(x.shape[2], 2)
    around = weight.shape[2] // 2
    if weight.dim() < 5 or len(x) > 1 or odd or not (serves(x) and serves(weight)):
        return convolve(x, weight, padding="same")
    # A map cut in two, each with what its kernels see of the other, is a batch.
    padded = F.pad(x, [n // 2 for n in reversed(weight.shape[2:]) for _ in range(2)])
    halves = padded[:, :, : half + 2 * around], padded[:, :, -(half + 2 * around) :]
    return torch.cat(convolve(torch.cat(halves), weight).chunk(2), dim=2)


def differentiable_mlp(
    tokens: Tensor, norm: nn.LayerNorm, up: nn.Conv1d, down: nn.Conv1d
) -> Tensor:
    """Tokens (..., C) plus the MLP of what the norm makes of them; it can be differentiated once.

    Kept for the gradient are the tokens, not what the MLP makes on the way, which is several times
    as large: it is computed again, in parts that stay in a core's cache.

    Args:
        tokens: With all weights a tensor that `serves`.
        norm: Over the channels.
        up, down: Convolutions of one voxel with a bias; between them is GELU.
    """
    matrices = up.weight.squeeze(-1), up.bias, down.weight.squeeze(-1), down.bias
    rows = tokens.contiguous().flatten(0, -2)
    result = _NormedMLP.apply(rows, norm.weight, norm.bias, *matrices, norm.eps)
    return result.view(tokens.shape)


def serves(x: Tensor) -> bool:
    """Whether oneDNN takes a tensor, and what is computed of it needs no more than a gradient."""
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


class _NormedMLP(torch.autograd.Function):
    """x + W2 gelu(W1 norm(x) + b1) + b2 of tokens (N, C), part by part.

    Gradients of the weights are sums over the parts in their order.
    """

    @staticmethod
    def forward(ctx, tokens, gain, shift, up, up_bias, down, down_bias, eps) -> Tensor:
        result = torch.empty_like(tokens)
        mean, deviation = tokens.new_empty(2, len(tokens), 1)
        up, down = up.contiguous(), down.contiguous()

        def compute(rows: slice) -> None:
            part = tokens[rows]
            normed, mean[rows], deviation[rows] = torch.native_layer_norm(
                part, gain.shape, gain, shift, eps
            )
            hidden = _ONEDNN_LINEAR(normed, up, up_bias, "gelu", [], "none")
            result[rows] = _ONEDNN_LINEAR.binary(hidden, part, down, down_bias, "add")

        run_in_threads(compute, _parts(tokens, len(up)))
        ctx.save_for_backward(tokens, mean, deviation, gain, shift, up, up_bias, down)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        tokens, mean, deviation, gain, shift, up, up_bias, down = ctx.saved_tensors
        gradient, of_weights = gradient.contiguous(), any(ctx.needs_input_grad[1:])
        up_back, down_back = up.t().contiguous(), down.t().contiguous()
        result = torch.empty_like(tokens)
        parts = _parts(tokens, len(up))
        sums: list[tuple[Tensor, ...]] = [()] * len(parts)

        def compute(number: int) -> None:
            rows = parts[number]
            part, own, statistics = tokens[rows], gradient[rows], (mean[rows], deviation[rows])
            normed = torch.addcmul(shift, (part - statistics[0]).mul_(statistics[1]), gain)
            hidden = _onednn(normed, up, up_bias)
            of_hidden = torch.ops.aten.gelu_backward(_onednn(own, down_back), hidden)
            of_part, *of_norm = torch.ops.aten.native_layer_norm_backward(
                *(_onednn(of_hidden, up_back), part, gain.shape, *statistics, gain, shift),
                [True, of_weights, of_weights],
            )
            torch.add(of_part, own, out=result[rows])
            if of_weights:
                of_up, of_down = of_hidden.t() @ normed, own.t() @ F.gelu(hidden)
                sums[number] = *of_norm, of_up, of_hidden.sum(0), of_down, own.sum(0)

        run_in_threads(compute, range(len(parts)))
        found = [sum(each) for each in zip(*sums, strict=True)] if of_weights else [None] * 6
        return result, *found, None


def _parts(tokens: Tensor, width: int) -> list[slice]:
    """Rows of tokens (N, C) that go together through a layer of this width."""
    step = max(1, part_values(len(tokens) * width) // width)
    return [slice(first, first + step) for first in range(0, len(tokens), step)]


def _onednn(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _ONEDNN_LINEAR(tokens, weight, bias, "none", [], "none")
