"""A random head around a stripped brain, for training on windows of stripped scans only.

Not a likeness: fluid, bone, scalp and lumps of other tissue have random borders and intensities,
much wider than anatomy (as in Billot et al., SynthSeg, MedIA 86:102789, 2023), so that a network
learns to ignore whatever surrounds the brain, and to read a brain whose normalisation also counted
what surrounds it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

#: How far outside the brain's box windows may lie when there is a head.
HEAD_MM = 25.0

_FLUID_MM, _BONE_MM, _SCALP_MM = (0.5, 4.0), (2.0, 8.0), (3.0, 14.0)
#: Intensities of fluid, bone, scalp and lumps in units of the brain's mean.
_LEVELS = ((0.0, 2.5), (0.02, 0.5), (0.2, 3.5), (0.2, 1.5))
_LUMPS_MM = 60.0


def add_head(
    image: Tensor, spacing: tuple[float, float, float], generator: np.random.Generator
) -> Tensor:
    """Put a head around the brain of a window and normalise as if the head had been there.

    The z-scores of a whole scan with a skull are not known to a window; they are drawn: what part
    of the nonzero voxels is brain, scalp, bone and, in half of the heads, noisy air, gives the mean
    and the deviation by which every channel is normalised again. Black air stays zero.

    Args:
        image: (C, X, Y, Z) z-scores over nonzero voxels; zero outside the brain.
        spacing: Voxel size in mm.

    Returns:
        The window with a head, again z-scores.
    """
    brain = (image != 0).any(dim=0)
    kinds = _layers(brain.numpy(), spacing, generator)
    noisy_air = bool(generator.random() < 0.5)
    shares = _shares(noisy_air, generator)
    changed = torch.empty_like(image)
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
    for index, channel in enumerate(image):
        # Where intensity zero lies among the z-scores: minus mean over deviation, 2 to 4 in MRI.
        zero = -generator.uniform(1.8, 4.5)
        levels = np.array([generator.uniform(*limits) for limits in _LEVELS])
        values = torch.tensor([0.0, *(zero * (1 - levels))], dtype=torch.float32)
        head = values[kinds] + (kinds > 0) * _texture(brain.shape, -0.2 * zero, generator, noise)
        head = torch.where(kinds > 0, head.clamp_min(zero), 0.0)
        if noisy_air:
            speckle = torch.randn(brain.shape, generator=noise).abs() * -0.02 * zero
            head = torch.where(~brain & (kinds == 0), zero + speckle, head)
        mean, deviation = _statistics(zero, levels, shares)
        together = torch.where(brain, channel, head)
        filled = brain | (kinds > 0) | noisy_air
        changed[index] = torch.where(filled, (together - mean) / deviation, 0.0)
    return changed


def _layers(
    brain: np.ndarray, spacing: tuple[float, float, float], generator: np.random.Generator
) -> Tensor:
    """0 for brain and air, 1 fluid, 2 bone, 3 scalp, 4 lumps beyond (face, neck, pads)."""
    kinds = np.zeros(brain.shape, dtype=np.int64)
    borders = np.cumsum([generator.uniform(*mm) for mm in (_FLUID_MM, _BONE_MM, _SCALP_MM)])
    lumps = generator.random() < 0.5
    stretch = np.exp(0.3 * _smooth(brain.shape, generator).numpy())
    tissue = _smooth(brain.shape, generator).numpy()
    if brain.any():
        away = ndimage.distance_transform_edt(~brain, sampling=spacing) * stretch
    else:
        away = np.full(brain.shape, 2 * _LUMPS_MM)
    for kind, (low, high) in enumerate(zip((0.0, *borders[:-1]), borders, strict=True), start=1):
        kinds[(away > low) & (away <= high)] = kind
    if lumps:
        kinds[(away > borders[-1]) & (away <= _LUMPS_MM) & (tissue > 0.7)] = 4
    return torch.from_numpy(kinds)


def _smooth(shape: tuple[int, ...], generator: np.random.Generator) -> Tensor:
    """A smooth random field of standard deviation about one half to one."""
    coarse = torch.from_numpy(generator.normal(size=(1, 1, 5, 5, 5))).float()
    return F.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]


def _texture(
    shape: tuple[int, ...], size: float, generator: np.random.Generator, noise: torch.Generator
) -> Tensor:
    """Unevenness of the head: smooth, and a quarter as much from voxel to voxel."""
    fine = torch.randn(shape, generator=noise)
    return size * (_smooth(shape, generator) + 0.25 * fine)


def _shares(noisy_air: bool, generator: np.random.Generator) -> np.ndarray:
    """Parts of all nonzero voxels that are fluid, bone, scalp, lumps and air; the rest is brain."""
    head = generator.uniform(0.0, 0.6) * generator.dirichlet((0.7, 1.5, 2.0, 0.7))
    air = generator.uniform(0.3, 0.8) if noisy_air else 0.0
    return np.array([*(head * (1 - air)), air])


def _statistics(zero: float, levels: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of a mixture of brain (z-scores 0, 1), the tissues of a head, and air."""
    means = np.array([*(zero * (1 - levels)), zero])
    spreads = np.array([*(-0.2 * zero * np.ones(4)), 0.0])
    mean = float(shares @ means)
    square = (1 - shares.sum()) + float(shares @ (means**2 + spreads**2))
    return mean, float(np.sqrt(max(square - mean**2, 1e-4)))
