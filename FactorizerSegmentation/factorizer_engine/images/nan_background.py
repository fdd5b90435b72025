"""NaN around the head, as FSL and SPM leave it, means that nothing is there."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from factorizer_engine.images.intensities import background_of
from factorizer_engine.images.scan import Scan


def without_nan_background(scan: Scan) -> Scan:
    """The scan without NaN that means "outside".

    Where NaN surrounds the image (most of the outermost voxels are NaN), every NaN is zero, since a
    hole in a mask is as empty as its outside. Else NaN that reaches from the edge of the volume
    inwards, as a turned image leaves it in the corners, gets the value of the background, zero if
    there is none. NaN inside the image is a fault of it: then the scan is returned as it is, for
    `check_finite` to refuse.
    """
    array = scan.array
    if array.dtype.kind != "f" or not np.isnan(array.sum(dtype=np.float64)):
        return scan
    unknown, background = np.isnan(array), background_of(array)
    if background is not None and np.isnan(background):
        background = 0.0
    elif not _reaches_the_edge(unknown):
        return scan
    return scan.with_array(np.where(unknown, array.dtype.type(background or 0.0), array))


def _reaches_the_edge(mask: np.ndarray) -> bool:
    """Whether every connected piece of a mask touches an outer face of the volume."""
    pieces, count = ndimage.label(mask)
    faces = [pieces.take(end, axis).ravel() for axis in range(mask.ndim) for end in (0, -1)]
    return len(np.unique(np.concatenate([[0], *faces]))) == count + 1
