"""Mosaics: images in which Siemens' scanners put all slices of a volume side by side.

Where the slices lie is said by the maker's private part of the header (CSA) only, which nibabel
reads; it also mends the place, which is that of a plain image as large as the whole mosaic.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pydicom


@dataclass(frozen=True, eq=False)
class Mosaic:
    """How a mosaic is to be taken apart.

    Attributes:
        count: Number of slices.
        shape: Columns and rows of a slice.
        positions: Centre of the first pixel of each slice, (count, 3), mm LPS.
    """

    count: int
    shape: tuple[int, int]
    positions: np.ndarray

    def slices_of(self, image: np.ndarray) -> np.ndarray:
        """The slices in an image of (rows, columns), as (count, rows, columns)."""
        columns, rows = self.shape
        tiles = image.reshape(image.shape[0] // rows, rows, image.shape[1] // columns, columns)
        return tiles.swapaxes(1, 2).reshape(-1, rows, columns)[: self.count]


def is_mosaic(data: pydicom.Dataset) -> bool:
    """Whether a header calls its image a mosaic."""
    return "MOSAIC" in (data.get("ImageType") or ())


def mosaic_of(data: pydicom.Dataset) -> Mosaic | None:
    """How an image is to be taken apart; None if it is no mosaic, or does not say enough.

    Args:
        data: All elements but the pixels.
    """
    if not is_mosaic(data) or int(data.get("NumberOfFrames") or 1) > 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its DICOM readers experimental
        from nibabel.nicom.csareader import get_slice_normal
        from nibabel.nicom.dicomwrappers import MosaicWrapper

        try:
            mosaic = MosaicWrapper(data)
            if get_slice_normal(mosaic.csa_header) is None or not data.get("SpacingBetweenSlices"):
                return None
            rows, columns, count = mosaic.image_shape
            affine = mosaic.affine
        except Exception:  # a private part that is damaged fails in many ways
            return None
    if (data.Rows % rows, data.Columns % columns) != (0, 0):
        return None
    positions = affine[:3, 3] + np.arange(count)[:, None] * affine[:3, 2]
    return Mosaic(int(count), (int(columns), int(rows)), positions)
