"""NaN around the head, as FSL and SPM leave it, means that nothing is there."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.scan import Scan

_MOST_OF_A_BORDER = 0.5


def without_nan_background(scan: Scan) -> Scan:
    """The scan with zero for NaN, where NaN is what surrounds the image.

    It does if most of the outermost voxels are NaN; otherwise NaN is a fault of the image, and the
    scan is returned as it is, for `check_finite` to refuse.
    """
    array = scan.array
    if array.dtype.kind != "f" or not np.isnan(array.sum(dtype=np.float64)):
        return scan
    border = np.concatenate(
        [array.take(end, axis).ravel() for axis in range(array.ndim) for end in (0, -1)]
    )
    if np.isnan(border).mean() < _MOST_OF_A_BORDER:
        return scan
    return scan.with_array(np.where(np.isnan(array), array.dtype.type(0), array))
