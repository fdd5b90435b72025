"""Reading scans from files and folders into `Scan`s in RAS mm.

Sizes are checked from the header, before any voxel is loaded, so that a huge file cannot exhaust
memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.checks import check_affine, check_finite, check_shape, check_type
from factorizer_engine.images.files.dicom import is_dicom_file, read_dicom_file, read_dicom_folder
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.parallel import in_parallel
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

FORMATS = "NIfTI, NRRD, MetaImage or DICOM"

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr", ".img", ".img.gz", ".hdr.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")

#: Millimetres per unit of length, by NIfTI code (metres and micrometres; anything else means mm).
_NIFTI_UNITS = {1: 1000.0, 3: 0.001}

UNKNOWN = "data of unknown format"
GZIP = b"\x1f\x8b"

#: What foreign files start with.
_KINDS = {
    b"NRRD": "NRRD",
    b"ObjectType": "MetaImage",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"BM": "a bitmap picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "a NumPy array",
}

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)

# ITK's warnings would reach the user's terminal; its errors are raised and reported.
sitk.ProcessObject.GlobalWarningDisplayOff()


def read_scan(path: str | Path, series: str | None = None) -> Scan:
    """Read a scan.

    Args:
        path: A NIfTI (.nii, .nii.gz, .hdr/.img), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd)
            file, a folder with a DICOM series, or a multi-frame DICOM file.
        series: Which series of a DICOM folder: its UID, number or description. Needed only where
            the folder holds several.

    Returns:
        The scan in RAS mm, named after the file or series; voxels in the type that the file stores.

    Raises:
        BadInputError: If there is nothing to read, it is damaged, no single volume of grey values,
            its voxels have no proper place, some are not finite, or it does not fit into memory.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise BadInputError(f"{path} does not exist; check the path.")
    try:
        scan = read_dicom_folder(path, series) if path.is_dir() else _read_file(path)
    except PermissionError as error:
        raise BadInputError(f"{path} may not be read; check its permissions.") from error
    check_finite(path.name, scan.array)
    return scan


def read_scans(paths: Mapping[str, str | Path]) -> dict[str, Scan]:
    """Read the scans of a study side by side, under the names of `paths`; see `read_scan`."""
    return dict(zip(paths, in_parallel(read_scan, paths.values()), strict=True))


def scan_name(path: str | Path) -> str:
    """The name of a file without the endings of image formats."""
    name = Path(path).name
    for suffix in (*NIFTI_SUFFIXES, ".seg.nrrd", *ITK_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _read_file(path: Path) -> Scan:
    if path.stat().st_size == 0:
        raise BadInputError(f"{path.name} is empty; export or copy it again.")
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return _read_nifti(path)
    if name.endswith(ITK_SUFFIXES):
        return _read_itk(path)
    if is_dicom_file(path):
        return read_dicom_file(path)
    raise BadInputError(
        f"{path.name} holds {_content(path)} and is no scan; "
        f"give a {FORMATS} file, or a DICOM folder."
    )


def _start(path: Path) -> bytes:
    """The first bytes of the file, or of what is compressed in it; as many as can be had."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            return unpacker.decompress(start)
        except zlib.error:
            return b""
    return start


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _content(path: Path) -> str:
    """What a file holds, by its first bytes, in words."""
    start = _start(path)
    packing = "compressed " if _is_gzip(path) else ""
    if _nifti_header(path) is not None:
        return f"{packing or 'uncompressed '}NIfTI"
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            return packing + kind
    if start and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return packing + "text"
    return packing + UNKNOWN


def _damaged(path: Path, error: BaseException | None = None) -> BadInputError:
    trouble = "is damaged or cut short"
    if path.suffix.lower() in (".mhd", ".nhdr", ".hdr", ".img"):
        trouble += ", or the second file that belongs to it is missing"
    return BadInputError(f"{path.name} {trouble}; copy or export it again.", repr(error))


def _mislabelled(path: Path, format_name: str) -> BadInputError:
    return BadInputError(
        f"{path.name} is named like {format_name} but holds {_content(path)}; "
        "export it again or correct its name."
    )


def _read_nifti(path: Path) -> Scan:
    if path.name.lower().endswith(".gz") != _is_gzip(path):
        raise _mislabelled(path, "compressed NIfTI" if path.suffix == ".gz" else "NIfTI")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        header = _nifti_header(path)
        if header is None:
            cut = len(_start(path)) < nib.Nifti1Header.sizeof_hdr and UNKNOWN in _content(path)
            raise _damaged(path) if cut else _mislabelled(path, "NIfTI")
        dimensions = int(np.clip(header["dim"][0], 1, 3))
        if (header["pixdim"][1 : dimensions + 1] == 0).any():
            check_affine(path.name, np.zeros((4, 4)))
    try:
        image = nib.load(path, mmap=False)
    except _READ_ERRORS as error:
        raise _damaged(path, error) from error
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_type(path.name, image.get_data_dtype())
    check_shape(path.name, shape)
    affine = _nifti_affine(path.name, image)
    try:
        array = np.asanyarray(image.dataobj).reshape(shape, order="F")
    except _READ_ERRORS as error:
        raise _damaged(path, error) from error
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return Scan.of(array.astype(array.dtype.newbyteorder("="), copy=False), affine, scan_name(path))


def _nifti_header(path: Path) -> nib.Nifti1Header | None:
    """The header as it stands in the file, unchecked; None if the file does not start with one."""
    start = _start(path)
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kinds = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    for size, kind in kinds.items():
        if size in sizes and len(start) >= size:
            return kind(start[:size], check=False)
    return None


def _nifti_affine(name: str, image: nib.Nifti1Image) -> np.ndarray:
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
        scale = _NIFTI_UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
    check_affine(name, affine)
    return np.asarray(affine, dtype=np.float64)


def _is_regular(affine: np.ndarray) -> bool:
    try:
        check_affine("", affine)
    except BadInputError:
        return False
    return True


def _read_itk(path: Path) -> Scan:
    magic = b"NRRD" if path.suffix.lower() in (".nrrd", ".nhdr") else b""
    start = _start(path)
    if not start.startswith(magic) or (not magic and b"NDims" not in start):
        raise _mislabelled(path, "NRRD" if magic else "MetaImage")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _itk_error(path, error) from error
    size = reader.GetSize()
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    if reader.GetNumberOfComponents() > 1:
        check_type(path.name, np.dtype("V3"))
    check_shape(path.name, size)
    affine = _itk_affine(reader)
    check_affine(path.name, affine)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _itk_error(path, error) from error
    array = sitk.GetArrayFromImage(image).reshape(size[::-1])
    check_type(path.name, array.dtype)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return Scan.of(array.transpose(2, 1, 0), affine, scan_name(path))


def _itk_affine(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """Voxel to RAS mm of the first three axes of an ITK image."""
    count = image.GetDimension()
    direction = np.asarray(image.GetDirection()).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(image.GetSpacing())[:3]
    affine[:3, 3] = np.asarray(image.GetOrigin())[:3]
    return LPS_TO_RAS @ affine


def _itk_error(path: Path, error: RuntimeError) -> BadInputError:
    """ITK's message as one plain sentence; header mistakes are worth telling apart."""
    text = str(error).lower()
    if "spacing" in text and "zero" in text:
        problem = "a voxel size of zero; correct the spacing in its header or export it again."
    elif "determinant" in text or "direction" in text:
        problem = "axes that do not span space; correct the orientation in its header."
    else:
        return _damaged(path, error)
    return BadInputError(f"{path.name} has {problem}", str(error))
