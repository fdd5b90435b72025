"""How far voxels are from some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def distance_to(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance of every voxel to the nearest one of a mask, between their centres.

    Exact (Maurer et al., IEEE TPAMI 25(2):265, 2003), by ITK, in a quarter of SciPy's time.

    Args:
        mask: Booleans, of two or three axes.
        spacing: Voxel size along each of them.

    Returns:
        float32, in the unit of the spacing; 0 in the mask, and infinite everywhere if it is empty.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    import SimpleITK as sitk  # not waited for where nothing is measured

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(size) for size in reversed(spacing)])  # ITK's axes are the other way
    found = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    distance = sitk.GetArrayFromImage(found)
    return np.maximum(distance, 0, out=distance)
