"""Slow changes of brightness over a scan, taken out.

N4 (Tustison et al., IEEE TMI 29(6), 2010) as ITK has it: the field is estimated on larger voxels
and evaluated on the scan's own.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.files.itk import itk_image
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor

FIELD_MM = 4.0
"""Voxel size at which the field is estimated; it is smooth over centimetres."""

ITERATIONS = (30, 30, 20)
"""At each of three resolutions of the field's splines."""


def correct_bias(scan: Scan, mask: Scan, monitor: Monitor | None = None) -> Scan:
    """Divide the scan by its bias field.

    Args:
        scan: Intensities that are not negative.
        mask: What is tissue, on the scan's grid, of the type bool.
        monitor: Asked whether to stop.

    Returns:
        float32, the same grid; zeros stay zero.

    Raises:
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    image = itk_image(scan.with_array(scan.array.astype(np.float32)))
    tissue = itk_image(scan.with_array((mask.array & (scan.array > 0)).astype(np.uint8)))
    factors = [max(1, int(FIELD_MM / size)) for size in scan.spacing]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    cancelled: list[CancelledError] = []

    def look() -> None:
        try:
            monitor.check()
        except CancelledError as error:
            cancelled.append(error)
            n4.Abort()

    n4.AddCommand(sitk.sitkIterationEvent, look)
    try:
        n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(tissue, factors))
    except RuntimeError:
        if not cancelled:
            raise
    if cancelled:
        raise cancelled[0]
    field = sitk.GetArrayFromImage(sitk.Exp(n4.GetLogBiasFieldAsImage(image))).transpose(2, 1, 0)
    return scan.with_array(scan.array.astype(np.float32) / np.maximum(field, 1e-3))
