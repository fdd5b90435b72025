"""Layers on maps (B, C, *S). Parameter names are those of the published weights.

All compute along the last axis of channels-last memory: maps in that layout (`channels_last`) pass
through without being copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MLP_TOKENS = 32768

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED_CONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def channels_last(x: Tensor) -> Tensor:
    """The map (B, C, *S) with the channels innermost in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


class Linear(nn.Module):
    """A linear map of the channels at every voxel (a 1x1 convolution)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *S)."""
        weight = self.linear.weight.squeeze(-1)
        return F.linear(x.movedim(1, -1), weight, self.linear.bias).movedim(-1, 1)


class LayerNorm(nn.Module):
    """Layer normalisation over the channels at every voxel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class MLP(nn.Module):
    """Two linear maps with a GELU between.

    Without gradients it goes through the voxels in parts, so that the hidden map is never whole in
    memory and stays in the processor's cache.

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

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.block(x)
        tokens = x.movedim(1, -1)
        parts = tokens.reshape(-1, tokens.shape[-1]).split(_MLP_TOKENS)
        return torch.cat([self.block(part) for part in parts]).view(tokens.shape).movedim(-1, 1)


def stem_convolution(dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """A convolution with kernel 3 and no bias that keeps the resolution."""
    return _CONVOLUTIONS[dims - 1](in_channels, out_channels, 3, padding=1, bias=False)


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
        self.register_parameter("bias", convolution.bias)

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
        return F.linear(tokens, weight, self.bias).movedim(-1, 1)


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
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, *S) to (B, C_out, *(S * stride))."""
        tokens = x.movedim(1, -1)
        batch, *size, _ = tokens.shape
        dims, stride = len(size), self.stride
        weight = self.weight.movedim(1, -1).flatten(1).t()
        tokens = F.linear(tokens, weight, self.bias.repeat(stride**dims))
        tokens = tokens.reshape(batch, *size, *[stride] * dims, -1)
        pairs = [axis for d in range(dims) for axis in (1 + d, 1 + dims + d)]
        tokens = tokens.permute(0, *pairs, 2 * dims + 1)
        return tokens.reshape(batch, *(s * stride for s in size), -1).movedim(-1, 1)


def _interleave(size: list[int], stride: int) -> list[int]:
    return [n for s in size for n in (s // stride, stride)]
