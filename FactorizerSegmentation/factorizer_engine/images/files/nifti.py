"""NIfTI files: scans read from them and written to them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np

from factorizer_engine.images.checks import check_affine, check_shape, check_type
from factorizer_engine.images.files.recognition import (
    UNKNOWN,
    content,
    damaged,
    first_bytes,
    is_gzip,
    mislabelled,
    nifti_header,
    scan_name,
)
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically

#: Millimetres per unit of length, by NIfTI code (metres and micrometres; anything else means mm).
_UNITS = {1: 1000.0, 3: 0.001}

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)


def read_nifti(path: Path) -> Scan:
    """Read a NIfTI file; float64 voxels become float32.

    Raises:
        BadInputError: If it is damaged, of another format, or no single volume of grey values with
            a proper place that fits into memory.
    """
    if path.name.lower().endswith(".gz") != is_gzip(path):
        raise mislabelled(path, "compressed NIfTI" if path.suffix == ".gz" else "NIfTI")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        header = nifti_header(path)
        if header is None:
            cut = len(first_bytes(path)) < nib.Nifti1Header.sizeof_hdr and UNKNOWN in content(path)
            raise damaged(path) if cut else mislabelled(path, "NIfTI")
        dimensions = int(np.clip(header["dim"][0], 1, 3))
        if (header["pixdim"][1 : dimensions + 1] == 0).any():
            check_affine(path.name, np.zeros((4, 4)))
    try:
        image = cast(nib.Nifti1Image, nib.load(path, mmap=False))
    except _READ_ERRORS as error:
        raise damaged(path, error) from error
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_type(path.name, image.get_data_dtype())
    check_shape(path.name, shape)
    affine = _affine(path.name, image)
    try:
        array = np.asanyarray(image.dataobj).reshape(shape, order="F")
    except _READ_ERRORS as error:
        raise damaged(path, error) from error
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return Scan.of(array.astype(array.dtype.newbyteorder("="), copy=False), affine, scan_name(path))


def write_nifti(scan: Scan, path: str | Path) -> None:
    """Write a scan as NIfTI-1, compressed if the name ends with .nii.gz.

    The sform (code 1, scanner) holds the affine. So does the qform, with the same code, unless axes
    are sheared, which it cannot express; its code is 0 then. Voxels keep their type, but for those
    that not every NIfTI reader knows: boolean becomes uint8, float16 float32, and 64-bit integers
    become int32, or float64 where that is too small.

    Raises:
        BadInputError: If the name ends otherwise or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise BadInputError(f"{path.name} must end with .nii or .nii.gz.")
    image = nib.Nifti1Image(_portable(scan.array), None)
    image.header.set_xyzt_units("mm")
    image.set_sform(scan.affine, code=1)
    image.set_qform(scan.affine, code=0 if scan.grid.is_sheared else 1)
    with written_atomically(path) as temporary:
        nib.save(image, temporary)


def _affine(name: str, image: nib.Nifti1Image) -> np.ndarray:
    """Voxel to RAS mm: the sform, or the qform where there is no usable sform.

    A header with neither code says nothing but voxel sizes; NIfTI-1 then lets i, j, k run to the
    right, to the front and up from the origin (its "method 1"), as ITK and so Slicer do.
    """
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        affine = image.affine
    else:
        sform, sform_code = header.get_sform(coded=True)
        try:
            qform, qform_code = header.get_qform(coded=True)
        except nib.spatialimages.HeaderDataError:
            qform, qform_code = None, 0
        if sform_code > 0 and (_is_regular(sform) or not qform_code):
            affine = sform
        elif qform_code > 0 and qform is not None:
            affine = qform
        else:
            affine = np.diag([*(float(z) for z in header.get_zooms()[:3]), 1.0])
        scale = _UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
    check_affine(name, affine)
    return np.asarray(affine, dtype=np.float64)


def _is_regular(affine: np.ndarray) -> bool:
    try:
        check_affine("", affine)
    except BadInputError:
        return False
    return True


def _portable(array: np.ndarray) -> np.ndarray:
    """The array in a type that all NIfTI readers know."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            return array.astype(np.float64)
        return array.astype(np.int32)
    return array
