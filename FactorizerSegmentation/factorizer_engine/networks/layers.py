"""Layers on maps (B, C, *S). Parameter names are those of the published weights.

Layers on channels compute along the last axis: maps in channels-last memory pass through without
copies.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
        return self.block(x)


def convolution(dims: int, **kwargs) -> nn.Module:
    """A convolution in 1, 2 or 3 spatial dimensions."""
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](**kwargs)


def transposed_convolution(dims: int, **kwargs) -> nn.Module:
    """A transposed convolution in 1, 2 or 3 spatial dimensions."""
    return (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1](**kwargs)
