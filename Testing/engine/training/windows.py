"""Augmentations that change nothing or everything, and a brain to change."""

from __future__ import annotations

import torch

from factorizer_engine.training.config import AugmentationSection

SPACING = (1.0, 1.0, 1.0)

NOTHING = AugmentationSection(
    flip=0, affine=0, noise=0, smoothing=0, intensity_scale=0, shift=0, gamma=0
)

EVERYTHING = AugmentationSection(
    flip=0.5,
    affine=1,
    elastic=1,
    noise=1,
    smoothing=1,
    intensity_scale=1,
    shift=1,
    gamma=1,
    bias_field=1,
    low_resolution=1,
    channel_dropout=0.5,
    misregistration=1,
    head=0.5,
    lesions_of_others=0.5,
    lesion_contrast=0.5,
)


def brain_with_lesion(value: float, lesion: tuple[slice, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """A window (2, 40, 40, 40) of a brain of one intensity, and the mask of its lesion."""
    image = torch.zeros(2, 40, 40, 40)
    image[:, 4:36, 4:36, 4:36] = value
    mask = torch.zeros(1, 40, 40, 40)
    mask[(0, *lesion)] = 1.0
    return image, mask
