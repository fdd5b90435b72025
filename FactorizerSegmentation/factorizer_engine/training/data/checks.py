"""What is wrong with a dataset, file by file, found before hours are spent on it."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factorizer_engine.images.checks import MIN_OVERLAP, check_scan
from factorizer_engine.images.files import read_labels, read_scan
from factorizer_engine.images.geometry import overlap_fraction, same_grid
from factorizer_engine.images.plausibility.single import is_flat
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.dataset import Case, Dataset


@dataclass(frozen=True)
class Finding:
    """Something about one file.

    Attributes:
        file: Which, relative to the dataset.
        message: One sentence.
        fatal: Whether training must not start.
    """

    file: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        name = self.file.rpartition("/")[2]
        for own in (f"{name} ", f"{name.partition('.')[0]} "):  # the message says whose it is
            if self.message.startswith(own):
                return f"{self.file} {self.message.removeprefix(own)}"
        return f"{self.file}: {self.message}"


@dataclass(frozen=True)
class CheckReport:
    """All findings, and the lesion volume in mL of every case that could be read."""

    findings: tuple[Finding, ...]
    volumes: dict[str, float]

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.fatal)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.fatal)


class UnfitDataError(BadInputError):
    """The data have problems; `report` has them all, and `details` names them line by line."""

    def __init__(self, report: CheckReport) -> None:
        problems = report.problems
        more = len(problems) - 1
        also = f" ({more} more problem{'s' * (more > 1)})" if more else ""
        super().__init__(f"{problems[0]}{also}", "\n".join(map(str, problems)))
        self.report = report


def check_dataset(dataset: Dataset) -> CheckReport:
    """Read every case and compare images, label and meaning.

    Raises:
        BadInputError: If there are fewer than two cases.
    """
    if len(dataset.cases) < 2:
        raise BadInputError(
            f"The dataset {dataset.root.name} has only the case {dataset.cases[0].name}; "
            "training needs at least two."
        )
    findings: list[Finding] = []
    volumes: dict[str, float] = {}
    seen = dict.fromkeys(dataset.regions, False)
    files_of: dict[bytes, str] = {}
    for case in dataset.cases:
        scans: list[Scan | None] = []
        findings += _check_images(case, dataset, scans, files_of)
        try:
            label = read_labels(case.label)
            _check_compression(case.label)
        except EngineError as error:
            findings.append(Finding(_short(case.label), str(error)))
            continue
        findings += _check_label(case, label, dataset)
        first = next((scan for scan in scans if scan is not None), None)
        if first is not None and not same_grid(first.grid, label.grid):
            message = grids_differ(label, first)
            findings.append(Finding(_short(case.label), message))
        for name, values in dataset.regions.items():
            seen[name] |= bool(np.isin(label.array, values).any())
        volumes[case.name] = lesion_volume(label, dataset)
    findings += [
        Finding(
            "labelsTr", f"No case has the region {name} (values {list(dataset.regions[name])})."
        )
        for name, found in seen.items()
        if not found
    ]
    findings += [
        Finding(_short(path), "The image has no label and is left out.", fatal=False)
        for path in dataset.unlabelled
    ]
    return CheckReport(tuple(findings), volumes)


def lesion_volume(label: Scan, dataset: Dataset) -> float:
    """Volume in mL of all regions together."""
    values = sorted({v for region in dataset.regions.values() for v in region})
    return label.grid.volume_ml(int(np.isin(label.array, values).sum()))


def _check_images(
    case: Case, dataset: Dataset, scans: list[Scan | None], files_of: dict[bytes, str]
) -> Iterator[Finding]:
    """Findings about the images of a case.

    Args:
        case: Whose images are read.
        dataset: It belongs to.
        scans: Gets the images that can be read, one per channel.
        files_of: Gets the file of each image, by a sum over its voxels, to know copies by.
    """
    try:
        scans += read_channels(case)
        for path in case.files:
            _check_compression(path)
    except EngineError as error:
        yield from _damaged_files(case, error)
        return
    if len(scans) != len(dataset.channels):
        yield Finding(
            _short(case.files[0]),
            f"The image has {len(scans)} channels, but {len(dataset.channels)} are configured.",
        )
        return
    given = [scan for scan in scans if scan is not None]
    files = case.files if len(case.images) > 1 else case.files * len(given)
    for file, scan in zip(files, given, strict=True):
        try:
            check_scan(scan)
        except EngineError as error:
            yield Finding(_short(file), str(error))
        if overlap_fraction(given[0].grid, scan.grid) < MIN_OVERLAP:
            yield Finding(_short(file), "The image does not overlap the first channel in space.")
        yield from _doubts(_short(file), scan, files_of)


def _doubts(file: str, scan: Scan, files_of: dict[bytes, str]) -> Iterator[Finding]:
    """What may be meant, but seldom is."""
    voxels = hashlib.sha256(np.ascontiguousarray(scan.array).data).digest()
    other = files_of.setdefault(voxels, file)
    if other != file:
        yield Finding(file, f"The image has the very voxels of {other}.", fatal=False)
    if is_flat(scan):
        yield Finding(file, "The image seems to be a label map or mask, not a scan.", fatal=False)


def _damaged_files(case: Case, error: EngineError) -> Iterator[Finding]:
    """Which of the case's files cannot be read."""
    if len(case.files) == 1:
        yield Finding(_short(case.files[0]), str(error))
        return
    for path in case.files:
        try:
            read_scan(path)
            _check_compression(path)
        except EngineError as own:
            yield Finding(_short(path), str(own))


def _check_compression(path: Path) -> None:
    """Compare a compressed file with the checksum at its end, which readers do not look at."""
    if path.suffix != ".gz":
        return
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError(f"{path.name} is damaged; copy it again.", repr(error)) from error


def _check_label(case: Case, label: Scan, dataset: Dataset) -> Iterator[Finding]:
    file = _short(case.label)
    unknown = unknown_value(label, dataset)
    if unknown is not None:
        yield Finding(file, f"The label has the unknown value {unknown:g}.")
    elif lesion_volume(label, dataset) == 0:
        yield Finding(
            file,
            "The label is empty; exclude the case unless it is a healthy example.",
            fatal=False,
        )


def unknown_value(label: Scan, dataset: Dataset) -> float | None:
    """The smallest value of a label map of which the dataset does not know what it means."""
    found = np.unique(label.array).tolist()
    return next((value for value in found if value not in dataset.values), None)


def check_values(file: Path, dataset: Dataset) -> None:
    """Refuse a label map whose values are not those of a dataset.

    Regions would count as empty there, in which an empty prediction is perfect.

    Raises:
        BadInputError: If it holds another value, or cannot be read.
    """
    value = unknown_value(read_labels(file), dataset)
    if value is None:
        return
    known = ", ".join(map(str, sorted(dataset.values)))
    if value % 1:
        raise BadInputError(
            f"{file.name} holds the value {value:g}, but label maps have whole numbers ({known})."
        )
    raise BadInputError(
        f"{file.name} holds the value {value:g}, which the data do not know (they have {known}); "
        "name it under data.labels, or give the label map the values of the data."
    )


def grids_differ(label: Scan, image: Scan) -> str:
    """What is different about the grids of a label and its image, in a sentence."""
    own, other = _grid(label), _grid(image)
    if own == other:
        return (
            f"The label lies elsewhere in space than its image, though both have {own}; "
            "the origin or the orientation in one of the headers is wrong."
        )
    return f"The label lies on another grid ({own}) than its image ({other})."


def _grid(scan: Scan) -> str:
    size = " x ".join(str(n) for n in scan.shape)
    return f"{size} voxels of {' x '.join(f'{s:.3g}' for s in scan.spacing)} mm"


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
