"""Changes to the lesions of a training window, so that a few cases give many more."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

#: Tissue around the lesion that comes along, and the width of the seam where both cases blend.
_MARGIN_MM, _SEAM_MM = (3.0, 15.0), 6.0
#: Tissue around a healed lesion that is replaced, too: outlines end where infiltration fades.
_HEALED_MM = 6.0


def put_lesions(
    image: Tensor,
    target: Tensor,
    donor: tuple[Tensor, Tensor],
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """The lesions of a donor's window in place of what is there in another window.

    After Zhang et al., CarveMix (NeuroImage 271:120041, 2023), with three differences: lesions are
    always carved with some tissue around them, never in part; the seam is soft; and nothing is put
    outside the brain of the receiving case.

    Args:
        image: (C, X, Y, Z) z-scores; zero outside the brain.
        target: Region masks (R, X, Y, Z): 1, 0, or negative where unknown.
        donor: Image and masks of another case, of the same shapes.
        spacing: Voxel size in mm.

    Returns:
        Image and masks; the given ones if the donor's window has no lesion.
    """
    lesion = (donor[1] > 0).any(dim=0)
    if not lesion.any():
        return image, target
    share = _soft_mask(lesion, generator.uniform(*_MARGIN_MM), spacing)
    share[~((image != 0).any(dim=0) & (donor[0] != 0).any(dim=0))] = 0.0
    return torch.lerp(image, donor[0], share), torch.where(share >= 0.5, donor[1], target)


def change_lesion_contrast(
    image: Tensor,
    target: Tensor,
    limits: tuple[float, float],
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> Tensor:
    """Make lesions fainter or stronger against the healthy tissue of the window.

    Of 14 gliomas, the oedema of the faintest stood out in FLAIR a third as much as that of the
    median one; few cases show few such contrasts.

    Args:
        image: (C, X, Y, Z); zero outside the brain.
        target: Region masks (R, X, Y, Z): 1, 0, or negative where unknown.
        limits: Of the factor on the difference to the healthy median, drawn for every channel.
        spacing: Voxel size in mm.

    Returns:
        The changed image; the given one if the window has no lesion or nothing else.
    """
    lesion = (target > 0).any(dim=0)
    healthy = (image != 0).any(dim=0) & ~lesion
    if not lesion.any() or not healthy.any():
        return image
    share = _soft_mask(lesion, _SEAM_MM / 2, spacing)  # the whole lesion, fading out around it
    level = image[:, healthy].median(dim=1).values[:, None, None, None]
    factors = torch.from_numpy(generator.uniform(*limits, size=(len(image), 1, 1, 1))).float()
    changed = level + (1 + share * (factors - 1)) * (image - level)
    return torch.where(image != 0, changed, image)


def heal_lesions(
    image: Tensor, target: Tensor, spacing: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """The other side of the brain, mirrored, in place of every lesion that it does not have itself.

    All training cases have a lesion, and most windows show it, so that a network may learn that
    there always is one. What the lesion has pushed away stays where it is, so that a healed brain
    is not told by its symmetry.

    Args:
        image: A whole stripped brain (C, X, Y, Z), its first axis from side to side; zero outside.
        target: Region masks (R, X, Y, Z): 1, 0, or negative where unknown.
        spacing: Voxel size in mm.

    Returns:
        Image and masks; lesions that have no healthy counterpart stay, with their masks.
    """
    lesion = (target > 0).any(dim=0)
    brain = (image != 0).any(dim=0)
    if not lesion.any():
        return image, target
    share = _soft_mask(lesion, _HEALED_MM, spacing)
    other_side = _mirrored(image, brain)
    share[(_mirrored(share[None], brain)[0] > 0) | ~(brain & (other_side != 0).any(dim=0))] = 0.0
    healed = torch.lerp(image, other_side, share.to(image.dtype))
    return healed, torch.where(share >= 0.5, target.clamp_max(0), target)


def _mirrored(volumes: Tensor, brain: Tensor) -> Tensor:
    """Volumes (N, X, Y, Z) mirrored at the middle of the brain's extent along X."""
    filled = brain.any(dim=(1, 2)).nonzero()
    first_and_last = int(filled[0] + filled[-1])
    sources = first_and_last - torch.arange(brain.shape[0])
    inside = (sources >= 0) & (sources < brain.shape[0])
    mirrored = torch.zeros_like(volumes)
    mirrored[:, inside] = volumes[:, sources[inside]]
    return mirrored


def _soft_mask(lesion: Tensor, margin_mm: float, spacing: tuple[float, float, float]) -> Tensor:
    """One inside a lesion (X, Y, Z), a half at `margin_mm` around it, and zero beyond the seam."""
    distance = ndimage.distance_transform_edt(~lesion.numpy(), sampling=spacing)
    return torch.from_numpy(((margin_mm - distance) / _SEAM_MM + 0.5).clip(0, 1)).float()
