"""Layers on maps (B, C, *S). Parameter names are those of the published weights.

All compute along the last axis of channels-last memory: maps in that layout (`channels_last`) pass
through without being copied.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from factorizer_engine.networks.gradients import (
    differentiable_convolution,
    differentiable_linear,
    differentiable_mlp,
    differentiable_normed_linear,
    serves,
)
from factorizer_engine.networks.parts import by_parts, fill_by_parts, is_plain

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED_CONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

# oneDNN's linear map with an activation or a sum fused to it. In float32 torch itself prefers MKL,
# which takes more than twice as long on processors that are not Intel's.
_ONEDNN_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

# oneDNN's convolution. torch itself gives small maps to code that takes many times as long.
_ONEDNN_CONVOLUTION: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


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
    return _ONEDNN_LINEAR is not None and is_plain(tokens)


def patches(tokens: Tensor, stride: int) -> Tensor:
    """A view (B, *grid, *patch, C) of tokens (B, *S, C), patches of `stride` voxels an axis."""
    dims = tokens.ndim - 2
    for axis in range(1, 2 * dims, 2):
        tokens = tokens.unflatten(axis, (tokens.shape[axis] // stride, stride))
    return tokens.permute(0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2), -1)


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

    def of_normed(self, x: Tensor, norm: nn.Module) -> Tensor:
        """`forward` of the normed map, where there is no bias."""
        if self.linear.bias is not None or not _is_fused(x, norm, self):
            return self(norm(x))
        tokens, plain_norm = x.movedim(1, -1), cast(LayerNorm, norm).norm
        return differentiable_normed_linear(tokens, plain_norm, self.linear).movedim(-1, 1)

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
        dims = weight.dim() - 2
        if dims > 1 and _ONEDNN_CONVOLUTION is not None and is_plain(x):
            layout = torch.channels_last if dims == 2 else torch.channels_last_3d
            x, weight = (t.contiguous(memory_format=layout) for t in (x, weight))
            padding, ones = [n // 2 for n in weight.shape[2:]], [1] * dims
            return channels_last(
                _ONEDNN_CONVOLUTION(x, weight, None, padding, ones, ones, 1, "none", [], None)
            )
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

    def residual(self, x: Tensor, norm: nn.Module) -> Tensor:
        """The sum of a map (B, C, *S) and of what this makes of the normed map."""
        up, _, dropout, down, _ = self.block
        drops = dropout.training and cast(nn.Dropout, dropout).p > 0
        if drops or not _is_fused(x, norm, self):
            return self(norm(x), add=x)
        layers = cast(Linear, up).linear, cast(Linear, down).linear
        plain_norm = cast(LayerNorm, norm).norm
        return differentiable_mlp(x.movedim(1, -1), plain_norm, *layers).movedim(-1, 1)


def _is_fused(x: Tensor, norm: nn.Module, module: nn.Module) -> bool:
    """Whether what a module makes of the normed map has a gradient of its own."""
    tensors = (x, *norm.parameters(), *module.parameters())
    return torch.is_grad_enabled() and type(norm) is LayerNorm and all(map(serves, tensors))


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
        cells = patches(x.movedim(1, -1), self.stride)
        if not is_plain(x):
            return self._map(cells).movedim(-1, 1)
        result = x.new_empty(*cells.shape[: x.ndim - 1], len(self.weight))
        fill_by_parts(result, self._map, cells)
        return result.movedim(-1, 1)

    def _map(self, cells: Tensor) -> Tensor:
        """Patches (..., *patch, C_in) to (..., C_out)."""
        weight = self.weight.movedim(1, -1)
        return linear(cells.flatten(-weight.dim() + 1), weight.flatten(1), self.bias)


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
        if is_plain(x):
            result = self._empty(tokens)
            fill_by_parts(patches(result, self.stride), self._map, tokens)
            return result.movedim(-1, 1)
        dims, size = tokens.ndim - 2, [n * self.stride for n in tokens.shape[1:-1]]
        cells = self._map(tokens).unflatten(-1, (*[self.stride] * dims, -1))
        pairs = [axis for d in range(dims) for axis in (1 + d, 1 + dims + d)]
        cells = cells.permute(0, *pairs, 2 * dims + 1)
        return cells.reshape(len(cells), *size, -1).movedim(-1, 1)

    def join(self, skip: Tensor, x: Tensor, adapter: Linear) -> Tensor:
        """`adapter.join(skip, self(x))` of plain maps; the upsampled map is never whole in memory.

        A linear map behind a linear map is one: where that takes fewer operations, the adapter's
        columns for what is upsampled go into the weights of the convolution.
        """
        weight, bias = self._matrices()
        left, right = adapter.linear.weight.squeeze(-1).split(self.weight.shape[1], dim=1)
        composes = x[:, 0].numel() > len(self.weight)
        if composes:
            weight, bias = right @ weight, right @ bias
        weight, bias = weight.flatten(0, 1), bias.repeat(len(weight))

        def compute(tokens: Tensor, cells: Tensor) -> Tensor:
            upsampled = linear(tokens, weight, bias).view(-1, len(right))
            if not composes:
                upsampled = linear(upsampled, right)
            cells = cells.reshape(-1, cells.shape[-1])
            return linear(cells, left, adapter.linear.bias, add=upsampled)

        tokens = x.movedim(1, -1)
        result = self._empty(tokens)
        places, cells = (patches(t, self.stride) for t in (result, skip.movedim(1, -1)))
        fill_by_parts(places, compute, tokens, cells)
        return result.movedim(-1, 1)

    def _map(self, tokens: Tensor) -> Tensor:
        """Tokens (..., C_in) to patches (..., stride ** dims * C_out)."""
        weight, bias = self._matrices()
        return linear(tokens, weight.flatten(0, 1), bias.repeat(len(weight)))

    def _matrices(self) -> tuple[Tensor, Tensor]:
        """What every voxel of a patch is, (stride ** dims, C_out, C_in), and the bias (C_out,)."""
        return self.weight.flatten(2).permute(2, 1, 0), self.bias

    def _empty(self, tokens: Tensor) -> Tensor:
        """Memory for the map that tokens (B, *S, C_in) become, channels last."""
        size = [n * self.stride for n in tokens.shape[1:-1]]
        return tokens.new_empty(len(tokens), *size, self.weight.shape[1])
