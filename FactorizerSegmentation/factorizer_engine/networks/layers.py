"""Layers on maps (B, C, *S). Parameter names are those of the published weights.

All compute along the last axis of channels-last memory: maps in that layout (`channels_last`) pass
through without being copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from factorizer_engine.factorization.threads import run_in_threads
from factorizer_engine.networks.gradients import (
    differentiable_convolution,
    differentiable_linear,
)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED_CONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

# Values of a part of a map in `by_parts`: on a CPU what stays in a core's cache, elsewhere enough
# to keep the device busy.
_CPU_PART, _PART = 2**18, 2**26

# oneDNN's linear map with an activation or a sum fused to it. In float32 torch itself prefers MKL,
# which takes more than twice as long on processors that are not Intel's.
_ONEDNN_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def channels_last(x: Tensor) -> Tensor:
    """The map (B, C, *S) with the channels innermost in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def linear(
    tokens: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    gelu: bool = False,
    add: Tensor | None = None,
) -> Tensor:
    """Tokens (..., C_in) to (..., C_out): a linear map, then perhaps GELU, then perhaps a sum."""
    if _onednn_serves(tokens):
        # oneDNN falls back to a hundred times slower code where rows do not follow each other.
        tokens, weight = tokens.contiguous(), weight.contiguous()
        if add is None:
            return _ONEDNN_LINEAR(tokens, weight, bias, "gelu" if gelu else "none", [], "none")
        if not gelu:
            return _ONEDNN_LINEAR.binary(tokens, add.contiguous(), weight, bias, "add")
    result = differentiable_linear(tokens, weight, bias)
    result = F.gelu(result) if gelu else result
    return result if add is None else result + add


def _onednn_serves(tokens: Tensor) -> bool:
    return (
        _ONEDNN_LINEAR is not None
        and tokens.device.type == "cpu"
        and tokens.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def by_parts(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """`function` of maps (B, C, *S), for functions that take every voxel by itself.

    Without gradients the voxels go through it in parts, as maps (voxels, C), so that what it
    computes on the way is never whole in memory and stays in the processor's cache.
    """
    if torch.is_grad_enabled():
        return function(*maps)
    tokens = [x.movedim(1, -1).reshape(-1, x.shape[1]) for x in maps]
    limit = _CPU_PART if maps[0].device.type == "cpu" else _PART
    count = max(1, limit // maps[0].shape[1])
    parts = [
        slice(first, first + count) for first in range(0, max(1, len(tokens[0])), count)
    ]  # even no voxels are one part
    values = function(*(t[parts[0]] for t in tokens))
    result = values.new_empty(len(tokens[0]), values.shape[1])
    result[parts[0]] = values

    def compute(part: slice) -> None:
        result[part] = function(*(t[part] for t in tokens))

    if maps[0].device.type == "cpu":
        run_in_threads(compute, parts[1:])
    else:
        for part in parts[1:]:
            compute(part)
    size = maps[0].shape
    return result.view(size[0], *size[2:], -1).movedim(-1, 1)


class Linear(nn.Module):
    """A linear map of the channels at every voxel (a 1x1 convolution)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, kernel_size=1, bias=bias)

    def forward(self, x: Tensor, gelu: bool = False, add: Tensor | None = None) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *S), then perhaps GELU, then perhaps the sum with a map."""
        add = None if add is None else add.movedim(1, -1)
        weight = self.linear.weight.squeeze(-1)
        return linear(x.movedim(1, -1), weight, self.linear.bias, gelu, add).movedim(-1, 1)

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """`forward` of two maps concatenated along the channels, without concatenating them."""
        return by_parts(self._beside, x, y)

    def _beside(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = self.linear.weight.squeeze(-1).split((x.shape[1], y.shape[1]), dim=1)
        result = linear(x.movedim(1, -1), left, self.linear.bias)
        return linear(y.movedim(1, -1), right, add=result).movedim(-1, 1)


class NeighborhoodConvolution(nn.Module):
    """A convolution without bias that keeps the resolution and sees the voxels around each.

    Args:
        dims: Spatial dimensions.
        in_channels, out_channels: Channels.
        kernel_size: Voxels of the kernel along each axis; odd.

    Raises:
        ValueError: If the kernel has no voxel in its middle.
    """

    def __init__(self, dims: int, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"A kernel of {kernel_size} voxels has none in its middle")
        convolution = _CONVOLUTIONS[dims - 1](in_channels, out_channels, kernel_size, bias=False)
        self.weight = convolution.weight

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *S)."""
        return self._convolve(x, self.weight)

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """`forward` of two maps concatenated along the channels, without concatenating them."""
        left, right = self.weight.split((x.shape[1], y.shape[1]), dim=1)
        return self._convolve(x, left) + self._convolve(y, right)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return channels_last(differentiable_convolution(x, weight))


class LayerNorm(nn.Module):
    """Layer normalisation over the channels at every voxel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class MLP(nn.Module):
    """Two linear maps with a GELU between.

    Args:
        channels: Channels in and out.
        ratio: Hidden channels relative to `channels`.
        dropout: Probability after each linear map.
    """

    def __init__(self, channels: int, ratio: float = 2, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.block = nn.Sequential(
            Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, *S) to (B, C, *S), then perhaps the sum with a map."""
        up, _, first_dropout, down, last_dropout = self.block
        x = first_dropout(up(x, gelu=True))
        return project(x, cast(Linear, down), cast(nn.Dropout, last_dropout), add)


def project(x: Tensor, layer: Linear, dropout: nn.Dropout, add: Tensor | None) -> Tensor:
    """A linear map of the channels, dropout, and perhaps the sum with a map."""
    if add is None or (dropout.training and dropout.p > 0):
        x = dropout(layer(x))
        return x if add is None else x + add
    return layer(x, add=add)


class PatchConvolution(nn.Module):
    """A convolution whose kernel is as large as its stride: a linear map of disjoint patches.

    Args:
        dims: Spatial dimensions.
        in_channels, out_channels: Channels.
        stride: Voxels of a patch along each axis; 1 is a linear map of the channels.
        bias: Whether there is one.
    """

    def __init__(
        self, dims: int, in_channels: int, out_channels: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        convolution = _CONVOLUTIONS[dims - 1](in_channels, out_channels, stride, stride, bias=bias)
        self.weight = convolution.weight
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *(S / stride))."""
        tokens = x.movedim(1, -1)
        batch, *size, channels = tokens.shape
        dims, stride = len(size), self.stride
        tokens = tokens.reshape(batch, *_interleave(size, stride), channels)
        grid, patch = range(1, 2 * dims, 2), range(2, 2 * dims + 1, 2)
        tokens = tokens.permute(0, *grid, *patch, 2 * dims + 1)
        tokens = tokens.reshape(batch, *(s // stride for s in size), stride**dims * channels)
        weight = self.weight.movedim(1, -1).flatten(1)
        return linear(tokens, weight, self.bias).movedim(-1, 1)


class TransposedPatchConvolution(nn.Module):
    """A transposed convolution whose kernel is as large as its stride: disjoint patches out.

    Args:
        dims: Spatial dimensions.
        in_channels, out_channels: Channels.
        stride: Voxels of a patch along each axis.
    """

    def __init__(self, dims: int, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        convolution = _TRANSPOSED_CONVOLUTIONS[dims - 1](in_channels, out_channels, stride, stride)
        self.weight = convolution.weight
        self.bias = cast(Tensor, convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *(S * stride))."""
        tokens = x.movedim(1, -1)
        batch, *size, _ = tokens.shape
        dims, stride = len(size), self.stride
        weight = self.weight.movedim(1, -1).flatten(1).t()
        tokens = linear(tokens, weight, self.bias.repeat(stride**dims))
        tokens = tokens.reshape(batch, *size, *[stride] * dims, -1)
        pairs = [axis for d in range(dims) for axis in (1 + d, 1 + dims + d)]
        tokens = tokens.permute(0, *pairs, 2 * dims + 1)
        return tokens.reshape(batch, *(s * stride for s in size), -1).movedim(-1, 1)


def _interleave(size: list[int], stride: int) -> list[int]:
    return [n for s in size for n in (s // stride, stride)]
