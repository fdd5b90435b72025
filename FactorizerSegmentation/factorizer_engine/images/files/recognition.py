"""What a file is, by its name and its first bytes."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib

from factorizer_engine.protocol.errors import BadInputError

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr", ".img", ".img.gz", ".hdr.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")

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
    b"<!DOCTYPE": "a web page, as of a download that failed",
    b"<html": "a web page, as of a download that failed",
    b"version https://git-lfs": "a pointer of Git LFS to the file, which 'git lfs pull' fetches",
    b"/annex/objects/": "a pointer of git-annex to the file, which 'git annex get' fetches",
    b"../.git/annex/": "a pointer of git-annex to the file, which 'git annex get' fetches",
}

_OTHER_LENGTHS = (
    "m", "dm", "cm", "um", "\u00b5m", "\u03bcm", "nm", "in", "inch",
    "meter", "metre", "centimeter", "centimetre", "micrometer", "micrometre", "micron",
    "meters", "metres", "centimeters", "centimetres", "micrometers", "micrometres", "microns",
)  # fmt: skip


def scan_name(path: str | Path) -> str:
    """The name of a file without the endings of image formats."""
    name = Path(path).name
    for suffix in (*NIFTI_SUFFIXES, ".seg.nrrd", *ITK_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_scan_name(path: str | Path) -> bool:
    """Whether a file is named as scans are that are no DICOM files; hidden files are not."""
    name = Path(path).name.lower()
    return name.endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)) and not name.startswith(".")


def first_bytes(path: Path) -> bytes:
    """The first bytes of the file, or of what is compressed in it; as many as can be had."""
    with path.open("rb") as file:
        start = file.read(4096)
    return _unpacked(start) if start.startswith(GZIP) else start


def _unpacked(start: bytes) -> bytes:
    """What the beginning of a compressed file holds, which may be compressed in several parts."""
    found = b""
    while start.startswith(GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            found += unpacker.decompress(start)
        except zlib.error:
            break
        start = unpacker.unused_data
    return found


def is_gzip(path: Path) -> bool:
    """Whether the file is compressed, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP


def content(path: Path) -> str:
    """What a file holds, by its first bytes, in words."""
    start = first_bytes(path)
    packing = "compressed " if is_gzip(path) else ""
    if nifti_header(path) is not None:
        return f"{packing or 'uncompressed '}NIfTI"
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            return packing + kind
    if start and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return packing + "text"
    return packing + UNKNOWN


def damaged(path: Path, error: BaseException | None = None) -> BadInputError:
    """What to tell of a file that cannot be read to its end."""
    trouble = "is damaged or cut short"
    if path.suffix.lower() in (".mhd", ".nhdr", ".hdr", ".img"):
        trouble += ", or the second file that belongs to it is missing"
    return BadInputError(f"{path.name} {trouble}; copy or export it again.", repr(error))


def check_unit(path: Path, unit: str) -> None:
    """Make sure that a header does not give lengths in another unit than mm.

    Raises:
        BadInputError: If it does, which ITK and Slicer pass over.
    """
    if unit.strip().lower() in _OTHER_LENGTHS:
        raise BadInputError(
            f"{path.name} gives its voxel size in {unit.strip()}, which ITK and Slicer take for "
            "mm; export it again in mm."
        )


def mislabelled(path: Path, format_name: str) -> BadInputError:
    """What to tell of a file that is of another format than its name says."""
    return BadInputError(
        f"{path.name} is named like {format_name} but holds {content(path)}; "
        "export it again or correct its name."
    )


def nifti_header(path: Path) -> nib.Nifti1Header | None:
    """The header as it stands in the file, unchecked; None if the file does not start with one."""
    start = first_bytes(path)
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kinds = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    for size, kind in kinds.items():
        if size in sizes and len(start) >= size:
            return kind(start[:size], check=False)
    return None
