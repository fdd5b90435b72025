"""NIfTI files: scans read from them and written to them."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np

from factorizer_engine.images.checks import check_affine, check_shape, check_type
from factorizer_engine.images.files.nifti_place import voxel_to_world
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
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.orientation import nearest_rotation
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically
from factorizer_engine.protocol.triples import triple

_log = logging.getLogger(__name__)

_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)


def _tolerant(kind: type[nib.Nifti1Pair]) -> type[nib.Nifti1Pair]:
    """The same kind of image, opened even where a header holds odd values, as ITK takes them.

    A quaternion may be too long. Voxels of a single file never begin inside its header, which an
    offset of 0 would mean. Axes behind the third have at least one place. A number that is to be
    added to each voxel counts if it is one.
    """
    known = kind.header_class
    earliest = known.single_vox_offset if known.is_single else 0

    def shape(header: nib.Nifti1Header) -> tuple[int, ...]:
        said = known.get_data_shape(header)
        return *said[:3], *(max(count, 1) for count in said[3:])

    def slope_and_intercept(header: nib.Nifti1Header) -> tuple[float | None, float | None]:
        if not np.isfinite(header["scl_inter"]):
            header["scl_inter"] = 0
        return known.get_slope_inter(header)

    own = {
        "quaternion_threshold": np.inf,
        "get_data_offset": lambda header: max(known.get_data_offset(header), earliest),
        "get_data_shape": shape,
        "get_slope_inter": slope_and_intercept,
    }
    header = type(known.__name__, (known,), own)
    return type(kind.__name__, (kind,), {"header_class": header})


_TOLERANT_KINDS = [
    _tolerant(kind) for kind in (nib.Nifti1Image, nib.Nifti1Pair, nib.Nifti2Image, nib.Nifti2Pair)
]
"""Their own affine is not used; see `voxel_to_world`."""


def read_nifti(path: Path) -> Scan:
    """Read a NIfTI file; float64 voxels become float32.

    Raises:
        BadInputError: If it is damaged, of another format, or no single volume of grey values with
            a proper place that fits into memory.
    """
    image = _open(path)
    shape = _shape(image)
    check_type(path.name, image.get_data_dtype())
    check_shape(path.name, shape)
    affine = _affine(path, image)
    return Scan.of(_voxels(path, image, shape), affine, scan_name(path))


def read_nifti_volumes(path: Path) -> list[Scan]:
    """Read the volumes that a four-dimensional NIfTI file holds one after another.

    Raises:
        BadInputError: As `read_nifti`, but for a fourth axis.
    """
    image = _open(path)
    shape = _shape(image)
    if len(shape) != 4:
        return [read_nifti(path)]
    check_type(path.name, image.get_data_dtype())
    check_shape(path.name, shape[:3])
    check_shape(path.name, (*shape[:2], shape[2] * shape[3]))
    affine, voxels = _affine(path, image), _voxels(path, image, shape)
    return [Scan.of(voxels[..., index], affine, scan_name(path)) for index in range(shape[3])]


def nifti_size(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Voxels along every axis, and their size in mm, by the header.

    Raises:
        BadInputError: As `read_nifti`, as far as the header tells.
    """
    image = _open(path)
    affine = _affine(path, image)
    return _shape(image), tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())


def write_nifti(scan: Scan, path: str | Path) -> None:
    """Write a scan as NIfTI-1, compressed if the name ends with .nii.gz.

    The sform and the qform, both of code 1 (scanner), hold the affine. Axes that are sheared are in
    the sform alone, and the qform is the nearest rectangular grid around the same centre: ITK, and
    so Slicer, refuse a sheared sform without a qform, and take the qform otherwise. Voxels keep
    their type, but for those that not every NIfTI reader knows: boolean becomes uint8, float16
    float32, and 64-bit integers become int32, or float64 where that is too small.

    Raises:
        BadInputError: If the name ends otherwise or the file cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise BadInputError(f"{path.name} must end with .nii or .nii.gz.")
    image = nib.Nifti1Image(_portable(scan.array), None)
    image.header.set_xyzt_units("mm")
    image.set_sform(scan.affine, code=1)
    image.set_qform(_rectangular(scan, path.name) if scan.grid.is_sheared else scan.affine, code=1)
    with written_atomically(path) as temporary:
        nib.save(image, temporary)


def _open(path: Path) -> nib.AnalyzeImage:
    """The image with its header, before its voxels are read."""
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
        for kind in _TOLERANT_KINDS:
            if kind.path_maybe_image(str(path))[0]:
                return kind.from_filename(path, mmap=False)
        return cast(nib.AnalyzeImage, nib.load(path, mmap=False))
    except _READ_ERRORS as error:
        raise damaged(path, error) from error


def _shape(image: nib.AnalyzeImage) -> tuple[int, ...]:
    """Number of voxels along each axis, without axes of length one that follow the third."""
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _affine(path: Path, image: nib.AnalyzeImage) -> np.ndarray:
    """Voxel to RAS mm."""
    holder = image.file_map.get("header", image.file_map["image"])
    header = nifti_header(Path(str(holder.filename)))
    if header is None:  # Analyze, which has no codes either
        header = nib.Nifti1Header()
        header["pixdim"][1:4] = image.header["pixdim"][1:4]
    return voxel_to_world(path.name, header, _shape(image)[:3])


def _voxels(path: Path, image: nib.AnalyzeImage, shape: tuple[int, ...]) -> np.ndarray:
    """All voxels in native byte order and, for float64, as float32."""
    try:
        array = np.asanyarray(image.dataobj).reshape(shape, order="F")
    except _READ_ERRORS as error:
        raise damaged(path, error) from error
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _rectangular(scan: Scan, name: str) -> np.ndarray:
    """The affine with axes at right angles that is nearest to the scan's; says how near it is."""
    affine, spatial = scan.affine.copy(), Grid(triple(scan.shape[:3]), scan.affine)
    affine[:3, :3] = nearest_rotation(affine[:3, :3] / spatial.spacing) * spatial.spacing
    centre = (np.asarray(spatial.shape) - 1) / 2
    affine[:3, 3] += (scan.affine[:3, :3] - affine[:3, :3]) @ centre
    straight = Grid(spatial.shape, affine)
    away = np.linalg.norm(straight.corners() - spatial.corners(), axis=1).max()
    _log.warning(
        "%s has sheared axes, which ITK and Slicer do not read from NIfTI; they show it up to "
        "%.2g mm away, whereas NRRD keeps its place.",
        name,
        away,
    )
    return affine


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
