"""Lesions of one training case put into another, so that a few cases give many more.

After Zhang et al., CarveMix (NeuroImage 271:120041, 2023), with three differences: lesions are
always carved with some tissue around them, never in part; the seam is soft; and nothing is put
outside the brain of the receiving case.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

#: Tissue around the lesion that comes along, and the width of the seam where both cases blend.
_MARGIN_MM, _SEAM_MM = (3.0, 15.0), 6.0


def put_lesions(
    image: Tensor,
    target: Tensor,
    donor: tuple[Tensor, Tensor],
    spacing: tuple[float, float, float],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """The lesions of a donor's window in place of what is there in another window.

    Args:
        image: (C, X, Y, Z) z-scores; zero outside the brain.
        target: Binary region masks (R, X, Y, Z).
        donor: Image and masks of another case, of the same shapes.
        spacing: Voxel size in mm.

    Returns:
        Image and masks; the given ones if the donor's window has no lesion.
    """
    lesion = donor[1].any(dim=0).numpy()
    if not lesion.any():
        return image, target
    distance = ndimage.distance_transform_edt(~lesion, sampling=spacing)
    margin = generator.uniform(*_MARGIN_MM)
    share = torch.from_numpy(((margin - distance) / _SEAM_MM + 0.5).clip(0, 1)).float()
    share[~((image != 0).any(dim=0) & (donor[0] != 0).any(dim=0))] = 0.0
    return torch.lerp(image, donor[0], share), torch.where(share >= 0.5, donor[1], target)
