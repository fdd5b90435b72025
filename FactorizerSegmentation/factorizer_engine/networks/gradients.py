"""Linear maps and convolutions with gradients by oneDNN, for training on a processor.

In float32 torch itself prefers MKL for linear maps, which takes two to five times as long for long
and narrow matrices on processors that are not Intel's. With Y = X W^T + 1 b^T the gradients are

    dX = dY W,  dW = dY^T X,  db = dY^T 1,

of which the first is such a linear map again. And a convolution of a single map with few channels
goes to code that takes five times as long as oneDNN's, which a batch gets.

Linear maps go by parts in threads, and so do the layers of a block that take every voxel by itself:
what they make on the way stays in a core's cache, and is made again for the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from factorizer_engine.factorization.threads import map_in_threads, part_values, run_in_threads

_ONEDNN_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def differentiable_linear(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; where oneDNN serves it, it can be differentiated once."""
    if serves(tokens) and serves(weight):
        result = _Linear.apply(_rows(tokens), weight.contiguous(), bias)
        return result.view(*tokens.shape[:-1], len(weight))
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
    matrices = _matrix(up), up.bias, _matrix(down), down.bias
    weights = norm.weight, norm.bias, *matrices
    return _NormedMLP.apply(_rows(tokens), *weights, norm.eps).view(tokens.shape)


def differentiable_normed_linear(tokens: Tensor, norm: nn.LayerNorm, layer: nn.Conv1d) -> Tensor:
    """The linear map of what a norm makes of tokens (..., C); it can be differentiated once.

    Kept for the gradient are the tokens.

    Args:
        tokens: With all weights a tensor that `serves`.
        norm: Over the channels.
        layer: A convolution of one voxel without a bias.
    """
    weights = norm.weight, norm.bias, _matrix(layer)
    result = _NormedLinear.apply(_rows(tokens), *weights, norm.eps)
    return result.view(*tokens.shape[:-1], layer.out_channels)


def _rows(tokens: Tensor) -> Tensor:
    return tokens.contiguous().flatten(0, -2)


def _matrix(layer: nn.Conv1d) -> Tensor:
    return layer.weight.squeeze(-1).contiguous()


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
    """X W^T + 1 b^T of tokens (N, C), part by part."""

    @staticmethod
    def forward(ctx, tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(tokens, weight)
        result = tokens.new_empty(len(tokens), len(weight))

        def compute(rows: slice) -> None:
            result[rows] = _onednn(tokens[rows], weight, bias)

        run_in_threads(compute, _parts(tokens, weight))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        tokens, weight = ctx.saved_tensors
        for_tokens, for_weight, for_bias = ctx.needs_input_grad
        gradient, back = gradient.contiguous(), weight.t().contiguous()
        result = torch.empty_like(tokens) if for_tokens else None

        def compute(rows: slice) -> tuple[Tensor, ...]:
            own = gradient[rows]
            if result is not None:
                result[rows] = _onednn(own, back)
            of_weight = [own.t() @ tokens[rows]] if for_weight else []
            return *of_weight, *([own.sum(0)] if for_bias else [])

        sums = iter(_sums_over(_parts(tokens, weight), compute))
        return result, next(sums) if for_weight else None, next(sums) if for_bias else None


class _NormedLinear(torch.autograd.Function):
    """norm(X) W^T of tokens (N, C), part by part; the normed tokens are not kept."""

    @staticmethod
    def forward(ctx, tokens, gain, shift, weight, eps) -> Tensor:
        result = tokens.new_empty(len(tokens), len(weight))
        statistics = tokens.new_empty(2, len(tokens), 1)

        def compute(rows: slice) -> None:
            normed = _norm(tokens[rows], gain, shift, eps, statistics[:, rows])
            result[rows] = _onednn(normed, weight)

        run_in_threads(compute, _parts(tokens, weight))
        ctx.save_for_backward(tokens, statistics, gain, shift, weight)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        tokens, statistics, gain, shift, weight = ctx.saved_tensors
        gradient, back = gradient.contiguous(), weight.t().contiguous()
        of_weights = any(ctx.needs_input_grad[1:])
        result = torch.empty_like(tokens)

        def compute(rows: slice) -> tuple[Tensor, ...]:
            part, own, known = tokens[rows], gradient[rows], statistics[:, rows]
            result[rows], *of_norm = _norm_backward(
                _onednn(own, back), part, gain, shift, known, of_weights
            )
            if not of_weights:
                return ()
            return *of_norm, own.t() @ _norm_again(part, gain, shift, known)

        sums = _sums_over(_parts(tokens, weight), compute)
        return result, *(sums or (None,) * 3), None


class _NormedMLP(torch.autograd.Function):
    """X + gelu(norm(X) W1^T + 1 b1^T) W2^T + 1 b2^T of tokens (N, C), part by part."""

    @staticmethod
    def forward(ctx, tokens, gain, shift, up, up_bias, down, down_bias, eps) -> Tensor:
        result = torch.empty_like(tokens)
        statistics = tokens.new_empty(2, len(tokens), 1)

        def compute(rows: slice) -> None:
            part = tokens[rows]
            normed = _norm(part, gain, shift, eps, statistics[:, rows])
            hidden = _ONEDNN_LINEAR(normed, up, up_bias, "gelu", [], "none")
            result[rows] = _ONEDNN_LINEAR.binary(hidden, part, down, down_bias, "add")

        run_in_threads(compute, _parts(tokens, up))
        ctx.save_for_backward(tokens, statistics, gain, shift, up, up_bias, down)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        tokens, statistics, gain, shift, up, up_bias, down = ctx.saved_tensors
        gradient, of_weights = gradient.contiguous(), any(ctx.needs_input_grad[1:])
        up_back, down_back = up.t().contiguous(), down.t().contiguous()
        result = torch.empty_like(tokens)

        def compute(rows: slice) -> tuple[Tensor, ...]:
            part, own, known = tokens[rows], gradient[rows], statistics[:, rows]
            normed = _norm_again(part, gain, shift, known)
            hidden = _onednn(normed, up, up_bias)
            of_hidden = torch.ops.aten.gelu_backward(_onednn(own, down_back), hidden)
            of_part, *of_norm = _norm_backward(
                _onednn(of_hidden, up_back), part, gain, shift, known, of_weights
            )
            torch.add(of_part, own, out=result[rows])
            if not of_weights:
                return ()
            of_up, of_down = of_hidden.t() @ normed, own.t() @ F.gelu(hidden)
            return *of_norm, of_up, of_hidden.sum(0), of_down, own.sum(0)

        sums = _sums_over(_parts(tokens, up), compute)
        return result, *(sums or (None,) * 6), None


def _norm(part: Tensor, gain: Tensor, shift: Tensor, eps: float, statistics: Tensor) -> Tensor:
    """The layer norm of tokens (n, C); writes means and 1 / deviations (2, n, 1)."""
    normed, *found = torch.native_layer_norm(part, gain.shape, gain, shift, eps)
    for target, values in zip(statistics, found, strict=True):
        target.copy_(values)
    return normed


def _norm_again(part: Tensor, gain: Tensor, shift: Tensor, statistics: Tensor) -> Tensor:
    """What `_norm` gave."""
    mean, inverse = statistics
    return torch.addcmul(shift, (part - mean).mul_(inverse), gain)


def _norm_backward(
    gradient: Tensor,
    part: Tensor,
    gain: Tensor,
    shift: Tensor,
    statistics: Tensor,
    of_weights: bool,
) -> tuple[Tensor, ...]:
    """Gradients of the tokens, the gain and the shift from that of the normed tokens."""
    wanted = [True, of_weights, of_weights]
    return torch.ops.aten.native_layer_norm_backward(
        gradient, part, gain.shape, *statistics, gain, shift, wanted
    )


def _parts(tokens: Tensor, weight: Tensor) -> list[slice]:
    """Rows of tokens (N, C) that go through linear maps of such weights together."""
    width = max(weight.shape)
    step = max(1, part_values(len(tokens) * width) // width)
    return [slice(first, first + step) for first in range(0, len(tokens), step)]


def _sums_over(
    parts: Sequence[slice], compute: Callable[[slice], tuple[Tensor, ...]]
) -> list[Tensor]:
    """The sums, over the parts in their order, of what is computed of each."""
    found = map_in_threads(compute, parts)
    return [torch.stack(each).sum(0) for each in zip(*found, strict=True)]


def _onednn(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _ONEDNN_LINEAR(tokens, weight, bias, "none", [], "none")
