"""Position embeddings of maps (B, C, *S) with a fixed spatial size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PositionalEmbedding(nn.Module):
    """A learned vector for every voxel, added."""

    def __init__(self, channels: int, spatial_size: Sequence[int]) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.randn(1, channels, *spatial_size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pos


class AxialPositionalEmbedding(nn.Module):
    """A learned vector for every coordinate of every axis, added."""

    def __init__(self, channels: int, spatial_size: Sequence[int]) -> None:
        super().__init__()
        self.pe = nn.ParameterList(
            torch.randn(1, channels, *_along(axis, size, len(spatial_size)))
            for axis, size in enumerate(spatial_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        for axis_embedding in self.pe:
            x = x + axis_embedding
        return x


class SinusoidalPositionalEmbedding(nn.Module):
    """Fixed cosines and sines of the phase, added (Vaswani et al., 2017, summed over the axes)."""

    pe: Tensor

    def __init__(self, channels: int, spatial_size: Sequence[int]) -> None:
        super().__init__()
        phase = _phase(channels, spatial_size)
        self.register_buffer("pe", torch.cat([phase.cos(), phase.sin()], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe


class RotaryPositionalEmbedding(nn.Module):
    """Rotation of channel pairs by the phase (Su et al., 2021, summed over the axes)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, channels: int, spatial_size: Sequence[int]) -> None:
        super().__init__()
        phase = _phase(channels, spatial_size).repeat(1, 2, *[1] * len(spatial_size))
        self.register_buffer("cos", phase.cos())
        self.register_buffer("sin", phase.sin())

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return self.cos * x + self.sin * torch.cat([-second, first], dim=1)


def _phase(channels: int, spatial_size: Sequence[int]) -> Tensor:
    """Sum over the axes of coordinate times frequency, (1, C / 2, *S)."""
    dims = len(spatial_size)
    frequency = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    frequency = frequency.reshape(1, -1, *[1] * dims)
    coordinates = (
        torch.arange(size).reshape(1, 1, *_along(axis, size, dims))
        for axis, size in enumerate(spatial_size)
    )
    return sum((frequency * coordinate for coordinate in coordinates), torch.zeros(()))


def _along(axis: int, size: int, dims: int) -> list[int]:
    return [size if a == axis else 1 for a in range(dims)]
