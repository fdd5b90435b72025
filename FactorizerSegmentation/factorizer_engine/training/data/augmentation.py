"""Random changes to training windows, each a pure function of a random generator.

One interpolation does all geometry (crop, rotation, scaling, smooth deformation), so a window is
cut from the whole volume without artificial borders. Intensities are z-scores, background is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.config import AugmentationSection

_CONTROL_POINTS = 5


def cut_window(
    image: Tensor,
    target: Tensor,
    center: np.ndarray,
    window: tuple[int, int, int],
    settings: AugmentationSection,
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """A window around `center`, perhaps rotated, scaled and deformed, then perhaps mirrored.

    Args:
        image: (C, X, Y, Z).
        target: Region masks (R, X, Y, Z) in 0 to 1.
        center: Voxel indices of the window's middle.
        window: Shape of the result.
        spacing: Voxel size in mm, by which `elastic_mm` is understood.

    Returns:
        Image (C, *window) and binary masks (R, *window), float32.
    """
    affine = generator.random() < settings.affine
    elastic = generator.random() < settings.elastic
    if affine or elastic:
        matrix = _random_matrix(settings, generator) if affine else np.eye(3)
        grid = _sampling_grid(matrix, center, image.shape[1:], window)
        if elastic:
            grid = grid + _random_displacement(
                image.shape[1:], window, settings, spacing, generator
            )
        both = torch.cat([image, target])[None].float()
        both = F.grid_sample(both, grid, mode="bilinear", align_corners=True)[0]
        image, target = both[: len(image)], both[len(image) :]
    else:
        image, target = (_slice_window(a, center, window) for a in (image, target))
    axes = [axis + 1 for axis in settings.flip_axes if generator.random() < settings.flip]
    if axes:
        image, target = image.flip(axes), target.flip(axes)
    return image.contiguous().float(), (target >= 0.5).float()


def _random_matrix(settings: AugmentationSection, generator: np.random.Generator) -> np.ndarray:
    """Window to volume coordinates: rotation about all three axes times one scale per axis."""
    matrix = _random_rotation(settings.rotation, generator)
    common = generator.uniform(1 - settings.scale, 1 + settings.scale)
    stretch = generator.uniform(1 - settings.scale / 3, 1 + settings.scale / 3, size=3)
    return matrix @ np.diag(1.0 / (common * stretch))


def _random_rotation(limit: float, generator: np.random.Generator) -> np.ndarray:
    """Turns about the three axes, one after the other, by up to `limit` degrees each."""
    matrix = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(generator.uniform(-limit, limit))
        first, second = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _sampling_grid(
    matrix: np.ndarray, center: np.ndarray, shape: Sequence[int], window: tuple[int, int, int]
) -> Tensor:
    """Normalised coordinates for `grid_sample` (align_corners) of a window around `center`."""
    extent = np.maximum(np.asarray(shape, dtype=float) - 1.0, 1.0)
    half = (np.asarray(window, dtype=float) - 1.0) / 2.0
    linear = np.diag(2.0 / extent) @ matrix @ np.diag(half)
    offset = 2.0 * np.asarray(center, dtype=float) / extent - 1.0
    theta = np.concatenate([linear[::-1, ::-1], offset[::-1, None]], axis=1)
    affine = torch.from_numpy(theta.copy()).float()[None]
    return F.affine_grid(affine, [1, 1, *window], align_corners=True)


def _random_displacement(
    shape: torch.Size,
    window: tuple[int, int, int],
    settings: AugmentationSection,
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> Tensor:
    """Smooth displacements in normalised coordinates, (1, *window, 3) in the order z, y, x."""
    scale = settings.elastic_mm / np.asarray(spacing) * 2.0 / np.maximum(np.asarray(shape) - 1, 1)
    coarse = generator.normal(size=(3, *(_CONTROL_POINTS,) * 3)) * scale[::-1, None, None, None]
    field = F.interpolate(
        torch.from_numpy(coarse).float()[None], size=window, mode="trilinear", align_corners=True
    )
    return field.permute(0, 2, 3, 4, 1)


def _slice_window(array: Tensor, center: np.ndarray, window: tuple[int, int, int]) -> Tensor:
    """Exact crop of a window around `center`, filled with zeros outside."""
    start = np.round(np.asarray(center) - (np.asarray(window) - 1) / 2).astype(int)
    stop = start + np.asarray(window)
    shape = np.asarray(array.shape[1:])
    low, high = np.clip(start, 0, shape), np.clip(stop, 0, shape)
    part = array[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]].float()
    before = np.clip(-start, 0, window)
    after = np.asarray(window) - before - (high - low)
    if before.any() or after.any():
        pads = [int(n) for axis in (2, 1, 0) for n in (before[axis], after[axis])]
        part = F.pad(part, pads)
    return part


def happens(probability: float, generator: np.random.Generator) -> bool:
    """Whether something of this probability happens; nothing is drawn where it never does.

    So a configuration without a newer option still gives the windows that it gave before.
    """
    return probability > 0 and generator.random() < probability


def misregister(
    image: Tensor,
    settings: AugmentationSection,
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> Tensor:
    """Shift and turn every channel of a window but the first, on which the masks were drawn.

    Args:
        image: (C, X, Y, Z).
        settings: Limits of the shift in mm and of the turn about each axis in degrees.
        spacing: Voxel size in mm.
    """
    window = triple(image.shape[1:])
    moved = [image[0]]
    for channel in image[1:]:
        # Turned in mm, so that voxels may be longer along one axis than along another.
        to_mm = np.diag(spacing)
        turn = _random_rotation(settings.misregistration_degrees, generator)
        matrix = np.linalg.inv(to_mm) @ turn @ to_mm
        shift = random_direction(generator) * generator.uniform(0, settings.misregistration_mm)
        center = (np.asarray(window) - 1) / 2 + shift / np.asarray(spacing)
        grid = _sampling_grid(matrix, center, window, window)
        channel = F.grid_sample(
            channel[None, None], grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        moved.append(channel[0, 0])
    return torch.stack(moved)


def random_direction(generator: np.random.Generator) -> np.ndarray:
    """A unit vector (3,), all directions equally likely."""
    vector = generator.normal(size=3)
    return vector / np.linalg.norm(vector)


def change_intensities(
    image: Tensor, settings: AugmentationSection, generator: np.random.Generator
) -> Tensor:
    """Noise, blur, contrast and scanner effects on a window (C, X, Y, Z) of z-scores."""
    foreground = image != 0
    if happens(settings.inversion, generator):
        image = -image
    if generator.random() < settings.bias_field:
        image = image_with_bias(image, settings.bias_field_std, generator)
    if generator.random() < settings.smoothing:
        image = smooth(image, generator.uniform(*settings.smoothing_sigma))
    if generator.random() < settings.low_resolution:
        image = lower_resolution(image, settings.low_resolution_factor, generator)
    if generator.random() < settings.intensity_scale:
        image = image * (1 + _per_channel(image, settings.intensity_scale_range, generator))
    if generator.random() < settings.shift:
        image = image + foreground * _per_channel(image, settings.shift_range, generator)
    if generator.random() < settings.gamma:
        image = change_gamma(image, settings.gamma_range, generator)
    if generator.random() < settings.noise:
        noise_generator = torch.Generator().manual_seed(int(generator.integers(2**31)))
        std = generator.uniform(0, settings.noise_std)
        image = image + foreground * std * torch.randn(image.shape, generator=noise_generator)
    if len(image) > 1 and generator.random() < settings.channel_dropout:
        image = image.clone()
        image[int(generator.integers(len(image)))] = 0.0
    return image


def _per_channel(image: Tensor, size: float, generator: np.random.Generator) -> Tensor:
    values = generator.uniform(-size, size, size=(len(image), 1, 1, 1))
    return torch.from_numpy(values).float()


def image_with_bias(image: Tensor, std: float, generator: np.random.Generator) -> Tensor:
    """Multiply every channel by its own smooth field around one, as coils do.

    The z-scores are shifted so that the field acts on positive intensities, then shifted back.
    """
    coarse = generator.normal(0.0, std, size=(1, len(image), 3, 3, 3))
    field = F.interpolate(
        torch.from_numpy(coarse).float(), size=image.shape[1:], mode="trilinear", align_corners=True
    )[0].exp()
    lowest = image.amin(dim=(1, 2, 3), keepdim=True)
    return torch.where(image != 0, (image - lowest) * field + lowest, image)


def smooth(image: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing, one axis after the other, kernel cut at three sigma."""
    radius = max(1, int(np.ceil(3 * sigma)))
    ticks = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (ticks / sigma) ** 2)
    kernel = kernel / kernel.sum()
    result = image[:, None]
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = len(kernel), radius
        result = F.conv3d(result, kernel.view(shape), padding=padding)
    return result[:, 0]


def lower_resolution(
    image: Tensor, factors: tuple[float, float], generator: np.random.Generator
) -> Tensor:
    """Thick slices: sample coarsely along one random axis and interpolate back."""
    axis, factor = int(generator.integers(3)), generator.uniform(*factors)
    size = list(image.shape[1:])
    size[axis] = max(2, int(round(size[axis] / factor)))
    coarse = F.interpolate(image[None], size=size, mode="trilinear", align_corners=False)
    back = F.interpolate(coarse, size=image.shape[1:], mode="trilinear", align_corners=False)
    return back[0]


def change_gamma(
    image: Tensor, gammas: tuple[float, float], generator: np.random.Generator
) -> Tensor:
    """Raise each channel, scaled to 0 to 1 over its own range, to a random power."""
    powers = torch.from_numpy(generator.uniform(*gammas, size=(len(image), 1, 1, 1))).float()
    low = image.amin(dim=(1, 2, 3), keepdim=True)
    extent = (image.amax(dim=(1, 2, 3), keepdim=True) - low).clamp_min(1e-6)
    changed = ((image - low) / extent).pow(powers) * extent + low
    return torch.where(image != 0, changed, image)
