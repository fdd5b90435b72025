"""The headers of DICOM files, and the images that they describe."""

from __future__ import annotations

import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from factorizer_engine.images.files.dicom.elements import ACQUISITION_TAGS, Elements
from factorizer_engine.images.files.dicom.mosaics import Mosaic, is_mosaic, mosaic_of
from factorizer_engine.images.files.recognition import UNKNOWN, content, is_gzip
from factorizer_engine.protocol.errors import BadInputError

# pydicom's warnings would reach the user's terminal; what cannot be read is raised and reported.
logging.getLogger("pydicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pydicom")

_TAGS: list[str | int] = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "PhotometricInterpretation",
    "PatientID",
    "PatientName",
    "StudyDate",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "GridFrameOffsetVector",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "ConcatenationUID",
    "InConcatenationTotalNumber",
    "InConcatenationNumber",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
"""Elements without which an image cannot be placed; a file in which one is broken is damaged."""


_SHORTEST_DIRECTION = 1e-3
"""Vectors that are shorter have no direction; the standard wants them of length 1."""

_SHORTEST = 132
_FIRST_KINDS = (b"UL", b"SH", b"CS", b"UI", b"LO")
_LAST_FIRST_ELEMENT = 0x0018
_LONGEST_FIRST_VALUE = 128
"""Of the first element in files without a prefix: up to the SOP Instance UID, and short."""


@dataclass(frozen=True)
class Acquisition:
    """In what images at one place may differ; "" or None where the file says nothing.

    Attributes:
        kind: Image Type, with backslashes.
        b_value: Of diffusion weighting, in s/mm2.
        echo_ms: Echo time.
        time_point: Number of the volume in a series of them.
        number: Acquisition number.
        time: When it was acquired, so that later ones sort behind earlier ones.
    """

    kind: str = ""
    b_value: float | None = None
    echo_ms: float | None = None
    time_point: str = ""
    number: str = ""
    time: str = ""

    @classmethod
    def of(cls, elements: Elements) -> Acquisition:
        """That of one frame."""
        return cls(
            kind=elements.text("FrameType", "ImageType").upper(),
            b_value=elements.b_value,
            echo_ms=elements.number("EffectiveEchoTime", "EchoTime"),
            time_point=elements.text("TemporalPositionIndex", "TemporalPositionIdentifier"),
            number=elements.text("FrameAcquisitionNumber", "AcquisitionNumber"),
            time=elements.text("FrameAcquisitionDateTime", "AcquisitionDateTime")
            or elements.text("AcquisitionTime"),
        )


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series: a file, one frame of a multi-frame file, or one slice of a mosaic.

    Attributes:
        file: Where its pixels are.
        frame: Index of the frame, or of the slice, in that file.
        instance: What the file calls itself (SOP Instance UID); "" if it does not.
        shape: Columns and rows.
        samples: Values per pixel, after those of a palette are looked up; more than one means
            colour.
        position: Centre of the first pixel in mm LPS, or None if the file does not say.
        orientation: Directions of a row and of a column, (2, 3) in LPS, or None.
        spacing: Distance of columns and of rows in mm.
        complete: False if the file is too short for its pixels.
        acquired: What tells it from other images at its place.
    """

    file: Path
    frame: int
    instance: str
    shape: tuple[int, int]
    samples: int
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float]
    complete: bool
    acquired: Acquisition = Acquisition()

    @property
    def identity(self) -> tuple[object, ...]:
        """What copies of an image have in common; some programs give all images one identifier."""
        place = None if self.position is None else tuple(np.round(self.position, 3).tolist())
        return self.instance or self.file, self.frame, place


@dataclass(frozen=True, eq=False)
class Header:
    """What a DICOM file says of itself.

    Attributes:
        path: The file.
        data: Its elements, without pixels.
        slices: The images in it; none in a report or a directory.
    """

    path: Path
    data: pydicom.Dataset
    slices: tuple[Slice, ...]


def is_dicom_file(path: Path) -> bool:
    """Whether the file carries the DICOM prefix, or begins with the elements that follow it."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or _is_without_prefix(start)


def read_elements(file: BinaryIO, **options: Any) -> pydicom.Dataset:
    """The elements of a DICOM file, also of one without the prefix, as old archives write them.

    Args:
        file: From its begin on.
        options: Of `pydicom.dcmread`.

    Raises:
        InvalidDicomError: If it is no DICOM file.
    """
    start = file.read(132)
    file.seek(0)
    bare = start[128:] != b"DICM" and _is_without_prefix(start)
    data = pydicom.dcmread(file, force=bare, **options)
    if bare and "SOPClassUID" not in data:
        raise InvalidDicomError("it only begins like a DICOM file")
    if bare and "TransferSyntaxUID" not in data.file_meta:
        is_implicit = data.original_encoding[0]
        syntax = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = syntax
    return data


def _is_without_prefix(start: bytes) -> bool:
    """Whether bytes are the first element of a data set: of group 8, or 2 for the file's own.

    Its length, in the four bytes after the tag or behind two letters for its kind, must be one that
    such elements have.
    """
    if len(start) < _SHORTEST:
        return False
    group, element, length = struct.unpack("<HHI", start[:8])
    if start[4:6] in _FIRST_KINDS:
        length = int.from_bytes(start[6:8], "little")
    return (
        (group == 8 and element <= _LAST_FIRST_ELEMENT) or (group, element) == (2, 0)
    ) and length <= _LONGEST_FIRST_VALUE


def read_header(path: Path) -> Header | None:
    """The header of a file; None if it is no DICOM file.

    Raises:
        BadInputError: If it is one, but damaged or cut short before its pixels.
    """
    try:
        with path.open("rb") as file:
            wanted = [Tag(name) for name in (*_TAGS, *ACQUISITION_TAGS)]
            data = read_elements(file, stop_before_pixels=True, specific_tags=wanted)
            rest = path.stat().st_size - file.tell()
        for name in _TAGS:  # pydicom decodes values when they are looked at, and fails then
            data.get(name)
        described = len(data.get("PerFrameFunctionalGroupsSequence") or ())
        if described > int(data.get("NumberOfFrames") or 1):
            raise ValueError(f"the header describes {described} frames but counts fewer")
        if not data.get("Rows") or not data.get("Columns"):
            if _should_hold_image(data):
                raise EOFError("the header ends before the size of the image")
            return Header(path, data, ())
        mosaic = _read_mosaic(path) if is_mosaic(data) else None
        return Header(path, data, tuple(_slices(path, data, mosaic, rest >= _pixel_bytes(data))))
    except InvalidDicomError:
        return None
    except PermissionError:
        raise
    except Exception as error:  # pydicom fails in many ways on broken values
        raise BadInputError(
            f"{path.name} is a damaged DICOM file; copy or export the series again.", repr(error)
        ) from error


def kind_of_name(path: Path) -> str:
    """The ending of a file's name, ".dcm" say; "" if it has none, or a number as UIDs have."""
    ending = path.suffix.lower()
    return ending if any(letter.isalpha() for letter in ending) else ""


def _inner_endings(path: Path) -> list[str]:
    """What a name ends with before its last ending, as that of "1.dcm.part" and "1.dcm.gz"."""
    return [ending.lower() for ending in path.suffixes[:-1]]


def should_be_dicom(path: Path, kinds: set[str]) -> bool:
    """Whether a file that is no DICOM file stands where one should, as after a broken copy.

    Args:
        path: The file.
        kinds: What the names of the images beside it end with, see `kind_of_name`.
    """
    if path.name.startswith("."):
        return False
    if kind_of_name(path) in kinds - {""}:
        return True
    ought = "" in kinds if not kind_of_name(path) else not kinds.isdisjoint(_inner_endings(path))
    return ought and (UNKNOWN in content(path) or is_gzip(path))


def _should_hold_image(data: pydicom.Dataset) -> bool:
    """Whether a file of this class has an image; also if it ends before it names its class."""
    named = UID(str(data.file_meta.get("MediaStorageSOPClassUID") or data.get("SOPClassUID") or ""))
    cut = "SOPClassUID" not in data and named != MediaStorageDirectoryStorage
    return cut or "Image Storage" in named.name


def _pixel_bytes(header: pydicom.Dataset) -> int:
    """Length of the pixel data; 1 where it is compressed and cannot be foreseen."""
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax.is_encapsulated:
        return 1
    if syntax.is_deflated:  # and so is the header, at whose end the file's is not
        return 0
    values = header.Rows * header.Columns * int(header.get("SamplesPerPixel") or 1)
    return values * int(header.get("NumberOfFrames") or 1) * header.get("BitsAllocated", 8) // 8


def _read_mosaic(path: Path) -> Mosaic | None:
    with path.open("rb") as file:
        return mosaic_of(read_elements(file, stop_before_pixels=True))


def _slices(
    path: Path, header: pydicom.Dataset, mosaic: Mosaic | None, complete: bool
) -> list[Slice]:
    """One slice per frame; geometry from the frame, else what frames share, else the file."""
    count = mosaic.count if mosaic else int(header.get("NumberOfFrames") or 1)
    shape = mosaic.shape if mosaic else (int(header.Columns), int(header.Rows))
    plain = count > 1 and not mosaic and not header.get("PerFrameFunctionalGroupsSequence")
    slices = []
    for index in range(count):
        elements = Elements(header, index)
        position = _numbers(elements, "ImagePositionPatient")
        orientation = _directions(elements)
        spacing = _numbers(elements, "PixelSpacing")
        rows, columns = spacing.reshape(2) if spacing is not None else (0.0, 0.0)
        if plain:
            position = _position_of_plain_frame(header, index)
        elif mosaic:
            position = mosaic.positions[index]
        slices.append(
            Slice(
                file=path,
                frame=index,
                instance=str(header.get("SOPInstanceUID") or ""),
                shape=shape,
                samples=_samples(header),
                position=None if position is None else position.reshape(3),
                orientation=orientation,
                spacing=(float(columns), float(rows)),
                complete=complete,
                acquired=Acquisition.of(elements),
            )
        )
    return slices


def _position_of_plain_frame(header: pydicom.Dataset, index: int) -> np.ndarray | None:
    """Where a frame lies in a file that says so for the first only, and how far others are off."""
    offsets = header.get("GridFrameOffsetVector")
    axes = header.get("ImageOrientationPatient")
    first = header.get("ImagePositionPatient")
    if not offsets or not axes or not first:
        return None
    row, column = np.asarray(axes, dtype=np.float64).reshape(2, 3)
    away = float(offsets[index]) - float(offsets[0])
    return np.asarray(first, dtype=np.float64) + np.cross(row, column) * away


def _directions(elements: Elements) -> np.ndarray | None:
    """Unit vectors along a row and a column, (2, 3); None if what is said spans no plane."""
    numbers = _numbers(elements, "ImageOrientationPatient")
    if numbers is None:
        return None
    axes = numbers.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    if not (lengths > _SHORTEST_DIRECTION).all():
        return None
    axes = axes / lengths
    return axes if np.linalg.norm(np.cross(*axes)) > _SHORTEST_DIRECTION else None


def _samples(header: pydicom.Dataset) -> int:
    is_palette = header.get("PhotometricInterpretation") == "PALETTE COLOR"
    return 3 if is_palette else int(header.get("SamplesPerPixel") or 1)


def _numbers(elements: Elements, keyword: str) -> np.ndarray | None:
    element = elements.get(keyword)
    return None if element is None else np.asarray(element.value, dtype=np.float64)
