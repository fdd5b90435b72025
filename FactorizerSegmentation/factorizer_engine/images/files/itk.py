"""NRRD and MetaImage files, read by ITK, and scans as ITK's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.checks import check_affine, check_shape, check_type
from factorizer_engine.images.files.itk_paths import readable_by_itk
from factorizer_engine.images.files.metaimage import check_compressed_voxels, check_meta_header
from factorizer_engine.images.files.native_output import native_output_discarded
from factorizer_engine.images.files.nrrd import check_nrrd_header
from factorizer_engine.images.files.recognition import (
    damaged,
    first_bytes,
    mislabelled,
    scan_name,
)
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

# ITK's warnings would reach the user's terminal; its errors are raised and reported.
sitk.ProcessObject.GlobalWarningDisplayOff()


def read_itk(path: Path) -> Scan:
    """Read an NRRD or MetaImage file; float64 voxels become float32.

    Raises:
        BadInputError: If it is damaged, of another format, or no single volume of grey values with
            a proper place that fits into memory.
    """
    magic = b"NRRD" if path.suffix.lower() in (".nrrd", ".nhdr") else b""
    start = first_bytes(path)
    if not start.startswith(magic) or (not magic and b"NDims" not in start):
        raise mislabelled(path, "NRRD" if magic else "MetaImage")
    with readable_by_itk(path) as place:
        return _read(path, place, is_nrrd=bool(magic))


def itk_size(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Voxels along every axis, and their size in mm, by the header.

    Raises:
        BadInputError: If ITK cannot read it.
    """
    with readable_by_itk(path) as place:
        reader, size = _header(path, place)
        return size, reader.GetSpacing()[:3]


def _header(path: Path, place: str) -> tuple[sitk.ImageFileReader, tuple[int, ...]]:
    """What ITK knows of a file at `place` before its voxels, and its size without axes of one."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(place)
    try:
        with native_output_discarded():  # MetaImage's reader prints what it thinks of a file
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _read_error(path, error) from error
    size = reader.GetSize()
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    return reader, size


def _read(path: Path, place: str, is_nrrd: bool) -> Scan:
    """Read a file that ITK finds at `place`."""
    reader, size = _header(path, place)
    if reader.GetNumberOfComponents() > 1:
        check_type(path.name, np.dtype("V3"))
    check_shape(path.name, size)
    if is_nrrd:
        check_nrrd_header(path)
    else:
        check_meta_header(path, reader.GetSize())
    affine = itk_affine(reader)
    check_affine(path.name, affine)
    try:
        with native_output_discarded():
            image = reader.Execute()
    except RuntimeError as error:
        raise _read_error(path, error) from error
    array = sitk.GetArrayFromImage(image).reshape(size[::-1])
    if not is_nrrd:
        check_compressed_voxels(path, array.nbytes)
    check_type(path.name, array.dtype)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return Scan.of(array.transpose(2, 1, 0), affine, scan_name(path))


def itk_image(scan: Scan) -> sitk.Image:
    """The scan as ITK has it, with its place in LPS."""
    image = sitk.GetImageFromArray(scan.array.transpose(2, 1, 0))
    lps = LPS_TO_RAS @ scan.affine
    image.SetSpacing(scan.spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / np.asarray(scan.spacing)).ravel().tolist())
    return image


def itk_affine(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """Voxel to RAS mm of the first three axes of an ITK image."""
    count = image.GetDimension()
    direction = np.asarray(image.GetDirection()).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(image.GetSpacing())[:3]
    affine[:3, 3] = np.asarray(image.GetOrigin())[:3]
    return LPS_TO_RAS @ affine


def _read_error(path: Path, error: RuntimeError) -> BadInputError:
    """ITK's message as one plain sentence; header mistakes are worth telling apart."""
    text = str(error).lower()
    if "spacing" in text and "zero" in text:
        problem = "a voxel size of zero; correct the spacing in its header or export it again."
    elif "determinant" in text or "direction" in text:
        problem = "axes that do not span space; correct the orientation in its header."
    elif "encoding not available" in text:
        problem = "voxels in a compression that ITK and Slicer do not read; save it with gzip."
    else:
        return damaged(path, error)
    return BadInputError(f"{path.name} has {problem}", str(error))
