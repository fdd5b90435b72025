"""Which DICOM series a folder holds, and what to call them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.uid import ParametricMapStorage, SegmentationStorage, SurfaceSegmentationStorage

from factorizer_engine.images.files.dicom.headers import (
    Header,
    Slice,
    kind_of_name,
    read_header,
    should_be_dicom,
)
from factorizer_engine.images.files.dicom.mosaics import is_mosaic
from factorizer_engine.images.files.dicom.parts import parts_of
from factorizer_engine.images.files.dicom.texts import text_of
from factorizer_engine.images.files.recognition import is_gzip
from factorizer_engine.protocol.errors import BadInputError

_LABEL_MAPS = "1.2.840.10008.5.1.4.1.1.66.7"  # newer than some versions of pydicom
SEGMENTATIONS = (SegmentationStorage, SurfaceSegmentationStorage, _LABEL_MAPS)
_DIRECTORY = "DICOMDIR"
"""Name of the file on disks that lists the others, and holds no image itself."""

_CONCATENATION_COUNTS = ("InConcatenationTotalNumber", "InConcatenationNumber")
"""How many files a volume is split over, which not all files say, and which of them one is."""


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one DICOM series, or of one volume in it, in no particular order.

    Attributes:
        uid: Its Series Instance UID.
        number: Its number, "" if it has none.
        description: Its description, "" if it has none.
        modality: Such as "MR".
        slices: Its images; copies of a file count again.
        problems: What is wrong with files beside its own, which may have been part of it.
        patient: Whose it is, "" if it does not say.
        date: The day of its study, "" if it does not say.
        frame_of_reference: UID of the space that positions are in, "" if it does not say.
        part: What tells the images from others of the series; "" if these are all.
        sop_class: UID of what its first file is, "" if that does not say.
    """

    uid: str
    number: str
    description: str
    modality: str
    slices: tuple[Slice, ...]
    problems: tuple[BadInputError, ...] = ()
    patient: str = ""
    date: str = ""
    frame_of_reference: str = ""
    part: str = ""
    sop_class: str = ""

    @property
    def is_segmentation(self) -> bool:
        """Whether it holds segments (SEG) and no scan."""
        return self.sop_class in SEGMENTATIONS

    @property
    def is_made_of_others(self) -> bool:
        """Whether it holds segments, or a map that somebody has computed."""
        return self.is_segmentation or self.sop_class == ParametricMapStorage

    @property
    def key(self) -> str:
        """What no other series has: its UID, and its part of that."""
        return self._with_part(self.uid)

    @property
    def name(self) -> str:
        """Its description with its part, "" if it has no description."""
        return self._with_part(self.description) if self.description else ""

    @property
    def title(self) -> str:
        """What to call the series in messages."""
        return self.name or self._with_part(f"series {self.number}" if self.number else self.uid)

    @property
    def count(self) -> int:
        """Number of images, not counting copies."""
        return len({item.identity for item in self.slices})

    def _with_part(self, text: str) -> str:
        return f"{text} ({self.part})" if self.part else text


def check_is_scan(series: Series) -> None:
    """Make sure that a series does not hold segments: one of them would pass for a dark scan.

    Raises:
        BadInputError: If it does.
    """
    if series.is_segmentation:
        raise BadInputError(
            f"{series.title} is a DICOM segmentation (SEG) and no scan; give the series that was "
            "segmented."
        )


def list_series(folder: str | Path) -> list[Series]:
    """The image series in a folder (below it, where it holds no images itself), by number.

    Of the folders below one with images only the rest of the same series is taken. Only headers are
    read. Files that are no DICOM images are passed over.

    Raises:
        BadInputError: If the folder does not exist, or holds damaged DICOM files only.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder; check the path.")
    own = sorted(folder.iterdir())
    found = series_of(own)
    if not found:
        return series_of(sorted(folder.rglob("*")))
    rest = _rest_below(found, sorted(set(folder.rglob("*")).difference(own)))
    return series_of([*own, *rest]) if rest else found


def _rest_below(found: Sequence[Series], paths: Iterable[Path]) -> list[Path]:
    """Which of these files hold images of the same series that are not among those found."""
    uids = {series.uid for series in found}
    instances = {item.instance for series in found for item in series.slices}
    headers, _, _ = _read_headers(path for path in paths if path.is_file())
    return [
        header.path
        for header in headers
        if str(header.data.get("SeriesInstanceUID", "")) in uids - {""}
        and not instances.issuperset(item.instance for item in header.slices)
    ]


def series_of(paths: Iterable[Path]) -> list[Series]:
    """The image series in these files, by number.

    Raises:
        BadInputError: If there is none but a damaged file.
    """
    headers, problems, others = _read_headers(path for path in paths if path.is_file())
    images = [header for header in headers if header.slices]
    if problems and not images:
        raise next(iter(problems.values()))
    kinds = _kinds_by_folder(images)
    anywhere = {kind for own in kinds.values() for kind in own if kind}
    for path in others:
        if should_be_dicom(path, kinds.get(path.parent, anywhere)):
            problems[path] = _broken_copy(path)
    members = defaultdict(list)
    for header in images:
        members[_membership(header)].append(header)
    patients = Counter((uid, *rest) for uid, _, *rest in members)
    series = [
        _of_patient(part, patient) if patients.get((uid, *rest), 0) > 1 else part
        for (uid, patient, *rest), found in members.items()
        for part in _parts(uid, found, _problems_for(found, kinds, problems))
    ]
    return sorted(series, key=lambda s: (int(s.number) if s.number.isdigit() else 10**9, s.title))


def _membership(header: Header) -> tuple[str, ...]:
    """What images of one series share: its UID, or else what describes it; and the patient."""
    uid, patient, number, description = (
        text_of(header.data.get(keyword, "")).strip()
        for keyword in ("SeriesInstanceUID", "PatientID", "SeriesNumber", "SeriesDescription")
    )
    return (uid, patient) if uid else (uid, patient, number, description)


def _of_patient(series: Series, patient: str) -> Series:
    """The same, told apart from what other patients have under its name."""
    return replace(series, part=", ".join(filter(None, (series.part, f"patient {patient}"))))


def named_series(folder: str, found: Sequence[Series], wanted: str) -> Series:
    """The series whose key, UID, number, description or name is `wanted`.

    Raises:
        BadInputError: If there is none or more than one.
    """
    folded = text_of(wanted).casefold()
    chosen = [
        s for s in found if wanted and wanted in (s.key, s.name, s.uid, s.number, s.description)
    ] or [s for s in found if folded and folded in (s.name.casefold(), s.description.casefold())]
    if len(chosen) == 1:
        return chosen[0]
    count = "no" if not chosen else "more than one"
    raise BadInputError(
        f"{folder} has {count} series called {wanted}; it holds {enumerate_series(found)}."
    )


def enumerate_series(found: Sequence[Series]) -> str:
    """Every series by a name that it alone has, and its number of images."""
    return ", ".join(f"{own_name(s, found)} ({s.count} images)" for s in found)


def own_name(series: Series, found: Sequence[Series]) -> str:
    """What tells the series from the others: its name, else its number, else its key."""
    for name in (series.name, series.number):
        if name and sum(name in (s.number, s.name, s.description) for s in found) == 1:
            return name
    return series.key


def _read_headers(
    paths: Iterable[Path],
) -> tuple[list[Header], dict[Path, BadInputError], list[Path]]:
    """Headers of DICOM files, what is wrong with damaged ones, and the files that are none."""
    headers: list[Header] = []
    problems: dict[Path, BadInputError] = {}
    others: list[Path] = []
    for path in paths:
        if path.name.upper() == _DIRECTORY:
            continue
        try:
            header = read_header(path)
        except BadInputError as error:
            problems[path] = error
            continue
        if header is None:
            others.append(path)
        else:
            headers.append(header)
    return headers, problems, others


def _kinds_by_folder(images: Sequence[Header]) -> dict[Path, set[str]]:
    """What the names of images end with, in each folder that holds some."""
    kinds: dict[Path, set[str]] = defaultdict(set)
    for image in images:
        kinds[image.path.parent].add(kind_of_name(image.path))
    return dict(kinds)


def _problems_for(
    headers: Sequence[Header], folders: Collection[Path], problems: Mapping[Path, BadInputError]
) -> list[BadInputError]:
    """The problems with files beside those of a series, or in a folder where no image is left."""
    own = {header.path.parent for header in headers}
    return [
        error
        for path, error in problems.items()
        if path.parent in own or path.parent not in folders
    ]


def _broken_copy(path: Path) -> BadInputError:
    if is_gzip(path):
        return BadInputError(
            f"{path.name} lies among DICOM images but is compressed; unpack it, or remove the file "
            "if it is no part of them."
        )
    state = "is empty" if path.stat().st_size == 0 else "does not begin as DICOM files do"
    return BadInputError(
        f"{path.name} lies among DICOM images but {state}, as after a copy that broke off; "
        "copy the series again, or remove the file if it is no part of it."
    )


def _parts(uid: str, headers: Sequence[Header], problems: Sequence[BadInputError]) -> list[Series]:
    """The volumes of a series; the series itself if it is one, or they cannot be told apart.

    A file that was cut may lack what tells its images from others, so the series stays whole then.
    """
    first, cut = headers[0].data, _cut_files(headers)
    whole = Series(
        uid=uid,
        number=str(first.get("SeriesNumber") or ""),
        description=text_of(first.get("SeriesDescription") or ""),
        modality=str(first.get("Modality") or ""),
        slices=tuple(item for header in headers for item in header.slices),
        problems=(*problems, *cut, *_missing_parts(headers), *_mosaics(headers)),
        patient=text_of(first.get("PatientID") or first.get("PatientName") or ""),
        date=str(first.get("StudyDate") or ""),
        frame_of_reference=str(first.get("FrameOfReferenceUID") or ""),
        sop_class=str(first.get("SOPClassUID") or ""),
    )
    parts = {"": whole.slices} if cut else parts_of(whole.slices)
    return [replace(whole, part=name, slices=tuple(own)) for name, own in parts.items()]


def _cut_files(headers: Sequence[Header]) -> list[BadInputError]:
    """What to say of files that are too short for their pixels."""
    return [
        BadInputError(
            f"{header.path.name} of the DICOM series is damaged or cut short; copy or export it "
            "again."
        )
        for header in headers
        if not all(item.complete for item in header.slices)
    ]


def _mosaics(headers: Sequence[Header]) -> list[BadInputError]:
    """What to say of mosaics that do not tell where their slices lie."""
    if not any(is_mosaic(header.data) and len(header.slices) == 1 for header in headers):
        return []
    return [
        BadInputError(
            "The DICOM series has all slices of a volume side by side in each image (a mosaic of "
            "Siemens), and what says where they lie was removed, perhaps with the patient's name; "
            "export it with the private elements of Siemens."
        )
    ]


def _missing_parts(headers: Sequence[Header]) -> list[BadInputError]:
    """What to say of volumes that are split over several files (concatenations) and lack some."""
    parts: dict[str, set[str]] = defaultdict(set)
    totals: dict[str, int] = {}
    for header in headers:
        uid = str(header.data.get("ConcatenationUID") or "")
        parts[uid].add(str(header.data.get("SOPInstanceUID") or header.path))
        counts = (header.data.get(keyword) for keyword in _CONCATENATION_COUNTS)
        totals[uid] = max(totals.get(uid, 0), *(int(count or 0) for count in counts))
    return [
        BadInputError(
            f"The DICOM series has {len(parts[uid])} of the {total} files over which its images "
            "are split; copy or export all of them."
        )
        for uid, total in totals.items()
        if uid and len(parts[uid]) < total
    ]
