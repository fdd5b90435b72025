"""DICOM series: which ones a folder holds, whether they are proper volumes, and reading them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError

from factorizer_engine.images.checks import check_affine, check_shape, check_type
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

#: Slices may be this far (part of their distance) from where even spacing puts them.
SPACING_TOLERANCE = 0.05

#: Sideways shift of slices, in mm per mm of distance, from which they are tilted (0.6 degrees).
TILT_TOLERANCE = 0.01

_TAGS = [
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series: a file, or one frame of a multi-frame file.

    Attributes:
        file: Where its pixels are.
        frame: Index of the frame in that file.
        shape: Columns and rows.
        samples: Values per pixel; more than one means colour.
        position: Centre of the first pixel in mm LPS, or None if the file does not say.
        orientation: Directions of a row and of a column, (2, 3) in LPS, or None.
        spacing: Distance of columns and of rows in mm.
        complete: False if the file is too short for its pixels.
    """

    file: Path
    frame: int
    shape: tuple[int, int]
    samples: int
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float]
    complete: bool


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one DICOM series, in no particular order."""

    uid: str
    number: str
    description: str
    modality: str
    slices: tuple[Slice, ...]

    @property
    def title(self) -> str:
        """What to call the series in messages."""
        return self.description or (f"series {self.number}" if self.number else self.uid)


def is_dicom_file(path: Path) -> bool:
    """Whether the file carries the DICOM prefix."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def list_series(folder: str | Path) -> list[Series]:
    """The image series in a folder (below it, where it holds no images itself), by number.

    Only headers are read. Files that are no DICOM images are passed over.

    Raises:
        BadInputError: If the folder does not exist.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder; check the path.")
    series = _series_of(path for path in sorted(folder.iterdir()) if path.is_file())
    if not series:
        series = _series_of(path for path in sorted(folder.rglob("*")) if path.is_file())
    return sorted(series, key=lambda s: (int(s.number) if s.number.isdigit() else 10**9, s.title))


def read_dicom_folder(folder: Path, wanted: str | None = None) -> Scan:
    """Read the one volume in a folder, or the series `wanted` (UID, number or description).

    Raises:
        BadInputError: If there is none or a choice of several, or if it is no proper volume.
    """
    found = list_series(folder)
    if not found:
        raise BadInputError(
            f"{folder.name} holds no DICOM images; "
            "give a folder with a DICOM series, or an image file."
        )
    titles = ", ".join(f"{s.title} ({len(s.slices)} images)" for s in found)
    if wanted is not None:
        chosen = [s for s in found if wanted in (s.uid, s.number, s.description)]
        if len(chosen) != 1:
            count = "no" if not chosen else "more than one"
            raise BadInputError(
                f"{folder.name} has {count} series called {wanted}; it holds {titles}."
            )
    else:
        chosen = [s for s in found if len(s.slices) > 1] or found
        if len(chosen) > 1:
            raise BadInputError(
                f"{folder.name} holds {len(chosen)} series to choose from ({titles}); "
                "name one, or give a folder with one."
            )
    return _read_series(chosen[0])


def read_dicom_file(path: Path) -> Scan:
    """Read a multi-frame DICOM file.

    Raises:
        BadInputError: If it is a single image or no proper volume.
    """
    series = _series_of([path])
    if not series:
        raise BadInputError(f"{path.name} is a DICOM file without an image; give the scan itself.")
    if len(series[0].slices) == 1:
        raise BadInputError(
            f"{path.name} is a single DICOM image; give the folder that holds the whole series."
        )
    return _read_series(series[0])


def _series_of(paths: Iterable[Path]) -> list[Series]:
    members = defaultdict(list)
    for path in paths:
        try:
            header, slices = _read_header(path)
        except InvalidDicomError:
            continue
        except PermissionError:
            raise
        except Exception as error:  # pydicom decodes late, and fails in many ways on broken values
            raise BadInputError(
                f"{path.name} is a damaged DICOM file; copy or export the series again.",
                repr(error),
            ) from error
        if slices:
            members[str(header.get("SeriesInstanceUID", ""))].append((header, slices))
    return [_series(uid, found) for uid, found in members.items()]


def _read_header(path: Path) -> tuple[pydicom.Dataset, list[Slice]]:
    """The header without pixels, and the images it describes; none for reports and directories."""
    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        rest = path.stat().st_size - file.tell()
    if not header.get("Rows") or not header.get("Columns"):
        return header, []
    return header, _slices(path, header, complete=rest >= _pixel_bytes(header))


def _pixel_bytes(header: pydicom.Dataset) -> int:
    """Length of the pixel data; 0 where it is compressed and cannot be foreseen."""
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax.is_encapsulated or syntax.is_deflated:
        return 0
    values = header.Rows * header.Columns * int(header.get("SamplesPerPixel") or 1)
    return values * int(header.get("NumberOfFrames") or 1) * header.get("BitsAllocated", 8) // 8


def _series(uid: str, members: list[tuple[pydicom.Dataset, list[Slice]]]) -> Series:
    first = members[0][0]
    return Series(
        uid=uid,
        number=str(first.get("SeriesNumber") or ""),
        description=str(first.get("SeriesDescription") or "").strip(),
        modality=str(first.get("Modality") or ""),
        slices=tuple(item for _, slices in members for item in slices),
    )


def _slices(path: Path, header: pydicom.Dataset, complete: bool) -> list[Slice]:
    """One slice per frame; geometry from the frame, else what frames share, else the file."""
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    frames = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    count = int(header.get("NumberOfFrames") or 1)
    slices = []
    for index in range(count):
        groups = ([frames[index]] if index < len(frames) else []) + shared
        position = _value("ImagePositionPatient", "PlanePositionSequence", groups, header)
        orientation = _value("ImageOrientationPatient", "PlaneOrientationSequence", groups, header)
        spacing = _value("PixelSpacing", "PixelMeasuresSequence", groups, header)
        rows, columns = spacing.reshape(2) if spacing is not None else (0.0, 0.0)
        slices.append(
            Slice(
                file=path,
                frame=index,
                shape=(int(header.Columns), int(header.Rows)),
                samples=int(header.get("SamplesPerPixel") or 1),
                position=None if position is None else position.reshape(3),
                orientation=None if orientation is None else orientation.reshape(2, 3),
                spacing=(float(columns), float(rows)),
                complete=complete,
            )
        )
    return slices


def _value(
    keyword: str, sequence: str, groups: list[pydicom.Dataset], header: pydicom.Dataset
) -> np.ndarray | None:
    for group in groups:
        macro = group.get(sequence)
        if macro and macro[0].get(keyword) is not None:
            return np.asarray(macro[0].get(keyword), dtype=np.float64)
    value = header.get(keyword)
    return None if value is None else np.asarray(value, dtype=np.float64)


def _read_series(series: Series) -> Scan:
    slices, affine = _stack(series)
    return Scan.of(_voxels(series, slices), affine, series.title)


def _stack(series: Series) -> tuple[list[Slice], np.ndarray]:
    """The slices in order of position, and the affine to RAS mm."""
    title, first = f"The DICOM series {series.title}", series.slices[0]
    if first.samples > 1:
        check_type(title, np.dtype("V3"))
    check_shape(title, (*first.shape, len(series.slices)))
    placed = [
        (item, item.position, item.orientation)
        for item in series.slices
        if item.position is not None and item.orientation is not None
    ]
    if len(placed) < len(series.slices):
        raise BadInputError(
            f"{title} does not say where its images lie; export it with positions and orientations."
        )
    row, column = placed[0][2]
    for item, _, orientation in placed:
        same = item.shape == first.shape and np.allclose(item.spacing, first.spacing, rtol=1e-3)
        if not same or not np.allclose(orientation, (row, column), atol=1e-3):
            raise BadInputError(
                f"{title} holds images of different size or direction; "
                "export them as separate series."
            )
    if not all(item.complete for item in series.slices):
        raise BadInputError(f"{title} is damaged or cut short; copy or export it again.")
    normal = np.cross(row, column)
    placed.sort(key=lambda item: float(item[1] @ normal))
    slices = [item for item, _, _ in placed]
    positions = np.stack([position for _, position, _ in placed])
    _check_positions(title, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = row * first.spacing[0]
    affine[:3, 1] = column * first.spacing[1]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 3] = positions[0]
    affine = LPS_TO_RAS @ affine
    check_affine(title, affine)
    return slices, affine


def _check_positions(title: str, positions: np.ndarray, normal: np.ndarray) -> None:
    """Make sure that slices follow each other evenly, straight along their normal."""
    steps = np.diff(positions, axis=0)
    gaps = steps @ normal
    usual = float(np.median(gaps))
    if gaps.min() < 0.01:
        raise BadInputError(
            f"{title} holds several images at one place (time points, echoes or b-values); "
            "export one volume only."
        )
    sideways = np.linalg.norm(steps - gaps[:, None] * normal, axis=1)
    if (sideways / gaps).max() > TILT_TOLERANCE:
        degrees = np.degrees(np.arctan((sideways / gaps).max()))
        raise BadInputError(
            f"{title} was taken with a tilted gantry ({degrees:.0f} degrees); load it into Slicer "
            "with acquisition geometry regularisation and export the straightened volume."
        )
    places = (positions - positions[0]) @ normal
    uneven = np.abs(places - np.linspace(0, places[-1], len(places))).max()
    if uneven <= max(SPACING_TOLERANCE * usual, 0.01):
        return
    multiples = np.round(gaps / usual)
    lacking = int(multiples.sum() - len(gaps))
    if lacking > 0 and np.abs(gaps - multiples * usual).max() <= SPACING_TOLERANCE * usual:
        raise BadInputError(
            f"{title} lacks {lacking} slices between its first and last; "
            "export the complete series."
        )
    raise BadInputError(
        f"{title} has slices at unequal distances ({gaps.min():.2f} to {gaps.max():.2f} mm); "
        "export an evenly spaced series."
    )


def _voxels(series: Series, slices: Sequence[Slice]) -> np.ndarray:
    """Pixel values with the rescale of each file applied, float32 (columns, rows, slices)."""
    files = [str(item.file) for item in slices]
    try:
        if len(set(files)) == 1:
            array = sitk.GetArrayFromImage(sitk.ReadImage(files[0], sitk.sitkFloat32))
            array = array[[item.frame for item in slices]]
        else:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(files)
            reader.SetOutputPixelType(sitk.sitkFloat32)
            array = sitk.GetArrayFromImage(reader.Execute())
    except (RuntimeError, IndexError) as error:
        raise BadInputError(
            f"The DICOM series {series.title} is damaged or compressed in an unknown way; "
            "export it again.",
            repr(error),
        ) from error
    return array.transpose(2, 1, 0)
