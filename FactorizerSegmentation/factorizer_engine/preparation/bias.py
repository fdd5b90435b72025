"""Slow changes of brightness over a scan, taken out.

N4 (Tustison et al., IEEE TMI 29(6), 2010) as ITK has it: the field is estimated on larger voxels
and interpolated on the scan's own.
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

ITERATIONS = (50, 50)
"""At each of two resolutions of the field's splines, whose knots lie half a head apart at the finer
one: a third, with knots at 5 cm, follows large lesions and takes their brightness away."""


def bias_field(scan: Scan, mask: Scan, monitor: Monitor | None = None) -> np.ndarray:
    """Estimate the bias field of a scan.

    Args:
        scan: Intensities that are not negative.
        mask: What is tissue, on the scan's grid, of the type bool.
        monitor: Asked whether to stop.

    Returns:
        Its logarithm on the scan's grid with larger voxels, see `without_bias`; float32 in ITK's
        order of axes.

    Raises:
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    image = _image(scan)
    tissue = itk_image(scan.with_array((mask.array & (scan.array > 0)).astype(np.uint8)))
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
    coarse = _coarser(image, scan)
    try:
        n4.Execute(coarse, _coarser(tissue, scan))
    except RuntimeError:
        if not cancelled:
            raise
    if cancelled:
        raise cancelled[0]
    field: np.ndarray = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(coarse))
    return field.astype(np.float32)


def without_bias(scan: Scan, field: np.ndarray) -> Scan:
    """Divide a scan by its bias field, which is as smooth between its voxels as a straight line.

    Args:
        scan: The scan.
        field: What `bias_field` has found in it.

    Returns:
        float32, the same grid; zeros stay zero.
    """
    image = _image(scan)
    smooth = sitk.GetImageFromArray(field)
    smooth.CopyInformation(_coarser(image, scan))
    fine = sitk.Resample(
        smooth, image, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True
    )
    factor = np.exp(sitk.GetArrayFromImage(fine).transpose(2, 1, 0))
    return scan.with_array(scan.array.astype(np.float32) / np.maximum(factor, 1e-3))


def _image(scan: Scan) -> sitk.Image:
    return itk_image(scan.with_array(scan.array.astype(np.float32)))


def _coarser(image: sitk.Image, scan: Scan) -> sitk.Image:
    return sitk.Shrink(image, [max(1, int(FIELD_MM / size)) for size in scan.spacing])
