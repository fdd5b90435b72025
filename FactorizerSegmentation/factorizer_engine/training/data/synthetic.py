"""What is to be found, made up: painted lesions, and parts of a scan that look alike.

A network that shall outline whatever a user clicks on must not know it by what its few training
cases have in common. Lesions of distorted shape, random size and random texture have taught
networks to find real ones (Hu et al., Label-free liver tumor segmentation, CVPR 2023,
arXiv:2303.14869); that coherent parts of any image are targets, too, is after nnInteractive
(Isensee et al., arXiv:2503.08373, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.data.augmentation import happens, smooth

_VOLUMES_ML = (0.03, 30.0)
_MOST_LOBES = 3
_RING = 0.15
"""Part of the painted lesions whose middle stays as it was."""

_CONTRAST = (0.4, 3.0)
"""Of a painted lesion, in standard deviations of the organ."""

_LIKENESS = (0.2, 0.7)
"""How far a structure's intensities may lie from that of its first voxel, in the same unit."""

_STRUCTURE_MM = (6.0, 25.0)
"""How far a structure reaches from its first voxel at most."""


def paint_lesion(
    image: Tensor, spacing: Sequence[float], generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Paint a lesion of random size, shape, contrast and texture near the middle of a window.

    Its volume is log-uniform in 0.03 to 30 mL; it has up to three lobes with ragged borders that
    share their voxels with what is around, and sometimes it is a ring. It is brighter or darker
    than what it covers, part of whose own pattern may show through.

    Args:
        image: One channel (1, X, Y, Z) of z-scores; zero outside the organ.
        spacing: Voxel size in mm.

    Returns:
        The changed image, and the lesion's mask (1, X, Y, Z), 1 and 0; nothing is painted, and the
        mask is empty, where the middle of the window lies outside the organ.
    """
    organ = image[0] != 0
    center = _near_the_middle(organ, generator)
    if center is None:
        return image, torch.zeros_like(image)
    share = _random_shape(center, triple(image.shape[1:]), spacing, generator) * organ
    lesion = share >= 0.5
    if not lesion.any():
        return image, torch.zeros_like(image)
    level = image[0][lesion].mean()
    contrast = generator.choice([-1.0, 1.0]) * np.exp(generator.uniform(*np.log(_CONTRAST)))
    texture = _noise(image.shape[1:], generator.uniform(2, 6), spacing, generator)
    inside = level + contrast * (1 + generator.uniform(0, 0.3) * texture)
    opaque = generator.uniform(0.5, 1.0)
    painted = image[0] + share * (opaque * (inside - image[0]) + (1 - opaque) * contrast)
    return torch.where(organ, painted, image[0])[None], lesion[None].float()


def structure_mask(
    image: Tensor, spacing: Sequence[float], generator: np.random.Generator
) -> Tensor:
    """A connected part of a window whose intensities are alike, around a voxel near its middle.

    Args:
        image: One channel (1, X, Y, Z) of z-scores; zero outside the organ.
        spacing: Voxel size in mm.

    Returns:
        Its mask (1, X, Y, Z), 1 and 0; empty where the middle lies outside the organ.
    """
    organ = image[0] != 0
    center = _near_the_middle(organ, generator)
    if center is None:
        return torch.zeros_like(image)
    smoothed = smooth(image, generator.uniform(0.4, 1.0))[0]
    alike = (smoothed - smoothed[tuple(center)]).abs() <= generator.uniform(*_LIKENESS)
    near = _distance(center, triple(image.shape[1:]), spacing) <= generator.uniform(*_STRUCTURE_MM)
    pieces = cc3d.connected_components((alike & near & organ).numpy(), connectivity=6)
    return torch.from_numpy(pieces == pieces[tuple(center)])[None].float()


def _near_the_middle(organ: Tensor, generator: np.random.Generator) -> np.ndarray | None:
    """A voxel of the organ in the inner half of a window; None if none of it lies there."""
    inner = tuple(slice(n // 4, n - n // 4) for n in organ.shape)
    places = organ[inner].nonzero().numpy()
    if not len(places):
        return None
    return places[int(generator.integers(len(places)))] + [axis.start for axis in inner]


def _random_shape(
    center: np.ndarray,
    shape: tuple[int, int, int],
    spacing: Sequence[float],
    generator: np.random.Generator,
) -> Tensor:
    """How much of each voxel (X, Y, Z) a random lesion covers, 0 to 1."""
    volume = np.exp(generator.uniform(*np.log(_VOLUMES_ML)))
    radius = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)  # mm, of a ball
    lobes = int(generator.integers(1, _MOST_LOBES + 1))
    radius /= lobes ** (1 / 3)
    depth = torch.full(shape, -np.inf)  # mm from the border, positive inside
    for lobe in range(lobes):
        offset = generator.normal(size=3) * radius * 0.8 if lobe else np.zeros(3)
        place = center + offset / np.asarray(spacing)
        stretch = np.exp(generator.normal(0, 0.25, size=3))
        depth = torch.maximum(depth, radius - _distance(place, shape, (stretch * spacing).tolist()))
    rough = generator.uniform(0, 0.5) * radius
    grain = max(radius * generator.uniform(0.5, 1.2), 2)
    depth = depth + rough * _noise(shape, grain, spacing, generator)
    if happens(_RING, generator):
        wall = generator.uniform(0.25, 0.5) * radius
        depth = torch.minimum(depth, wall - depth)
    return (depth / generator.uniform(0.7, 2.0) / float(np.mean(spacing)) + 0.5).clamp(0, 1)


def _distance(center: np.ndarray, shape: tuple[int, int, int], spacing: Sequence[float]) -> Tensor:
    """Distance (mm) of all voxels to a place, float32."""
    x, y, z = (
        torch.from_numpy(((np.arange(n) - c) * s) ** 2).float()
        for n, c, s in zip(shape, center, spacing, strict=True)
    )
    return (x[:, None, None] + y[:, None] + z).sqrt()


def _noise(
    shape: Sequence[int], grain_mm: float, spacing: Sequence[float], generator: np.random.Generator
) -> Tensor:
    """Smooth noise (X, Y, Z) of standard deviation near one, whose grains are `grain_mm` wide."""
    size = [max(2, int(np.ceil(n * s / grain_mm))) for n, s in zip(shape, spacing, strict=True)]
    coarse = torch.from_numpy(generator.normal(size=(1, 1, *size))).float()
    return F.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]
