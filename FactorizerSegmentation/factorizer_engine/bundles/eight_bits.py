"""Weights in 8 bits: whole numbers, and a scale for every output channel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_LARGEST = 127
_SCALE = ".scale"


def to_eight_bits(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict whose matrices and kernels are int8, beside float32 scales of their rows.

    Symmetric, with a scale per output channel (Jacob et al., Quantization and training of neural
    networks for efficient integer-arithmetic-only inference, CVPR 2018). Vectors are in float16.
    """
    stored = {}
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            stored[key] = tensor
        elif tensor.ndim < 2:
            stored[key] = tensor.half()
        else:
            rows = tensor.detach().float().flatten(1)
            scale = (rows.abs().amax(dim=1) / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
            stored[key] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
            stored[key + _SCALE] = scale
    return stored


def from_eight_bits(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict in float32 where it was in 8 bits; others stay as they are."""
    scales = {
        key: scale
        for key, tensor in state.items()
        if tensor.dtype == torch.int8
        and (scale := state.get(key + _SCALE)) is not None
        and scale.shape == tensor.shape[:1]
    }
    return {
        key: _scaled(tensor, scales[key]) if key in scales else tensor
        for key, tensor in state.items()
        if key.removesuffix(_SCALE) not in scales or key in scales
    }


def _scaled(tensor: Tensor, scale: Tensor) -> Tensor:
    return (tensor.flatten(1).float() * scale.float()[:, None]).view(tensor.shape)
