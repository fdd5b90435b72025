"""What is wrong with a configuration's data, found before hours are spent on it."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factorizer_engine.images.checks import MIN_OVERLAP, check_scan
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.geometry import overlap_fraction, same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.dataset import Case, Dataset, open_dataset
from factorizer_engine.training.data.splits import make_split
from factorizer_engine.training.export.export import check_description
from factorizer_engine.training.run.networks import (
    build_network,
    load_matching_weights,
    network_spec,
)

# last.pt holds network, average and two moments, and exists twice while it is replaced; best.pt and
# final.pt hold the average.
_BYTES_PER_WEIGHT = (2 * 4 + 2) * 4


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


def check_training(config: TrainingConfig) -> CheckReport:
    """Check data, split, network and disk of a configuration; nothing is written.

    Returns:
        Remarks that do not prevent training, and lesion volumes.

    Raises:
        UnfitDataError: With all problems of the data.
        BadInputError: If the split, the network, the disk or the description of the model cannot
            be used.
    """
    check_folders(config)
    dataset = open_dataset(config.data)
    check_description(config.bundle, dataset.channels, dataset.regions, dataset.labels)
    report = check_dataset(dataset)
    if report.problems:
        raise UnfitDataError(report)
    make_split(config.split, report.volumes, write=False)
    spec = network_spec(config.network, len(dataset.channels), len(dataset.regions), config.window)
    network = build_network(spec, config.window)
    if config.network.pretrained:
        load_matching_weights(network, Path(config.network.pretrained))
    weights = sum(p.numel() for p in network.parameters())
    check_room(config, dataset, weights)
    return report


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
    for case in dataset.cases:
        scans: list[Scan] = []
        findings += _check_images(case, dataset, scans)
        try:
            label = _read_wholly(case.label)
        except EngineError as error:
            findings.append(Finding(_short(case.label), str(error)))
            continue
        findings += _check_label(case, label, dataset)
        if scans and not same_grid(scans[0].grid, label.grid):
            message = _grids_differ(label, scans[0])
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


def check_room(config: TrainingConfig, dataset: Dataset, weights: int) -> None:
    """Make sure that the cache and the checkpoints fit on the disk.

    Raises:
        BadInputError: If not, saying how much is needed.
    """
    needs: dict[int, tuple[Path, int, list[str]]] = {}
    for folder, needed, what in (
        (config.cache, _cache_bytes(config, dataset), "pre-processed cases"),
        (config.output, weights * _BYTES_PER_WEIGHT, "checkpoints"),
    ):
        existing = _existing(folder)
        disk = existing.stat().st_dev
        place, sum_of_others, others = needs.get(disk, (existing, 0, []))
        needs[disk] = place, sum_of_others + needed, [*others, what]
    for place, needed, what in needs.values():
        free = shutil.disk_usage(place).free
        if needed > free:
            raise BadInputError(
                f"The {' and '.join(what)} need {_size(needed)}, "
                f"but {place} has only {_size(free)} free."
            )


def check_folders(config: TrainingConfig) -> None:
    """Make sure that the folders of the run and of the cache can be made and written to.

    Raises:
        BadInputError: If not.
    """
    for folder in (config.output, config.cache):
        existing = _existing(folder)
        if not existing.is_dir():
            raise BadInputError(f"{existing} is a file, so the folder {folder} cannot be made.")
        if not os.access(existing, os.W_OK):
            raise BadInputError(f"{existing} cannot be written to; choose another output.")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest of those around it that exists."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _cache_bytes(config: TrainingConfig, dataset: Dataset) -> int:
    """Upper bound: no foreground cropping, half precision images, one bit per region."""
    label = read_scan(dataset.cases[0].label)
    spacing = config.preprocessing.spacing or label.spacing
    voxels = np.prod(label.shape) * np.prod(label.spacing) / np.prod(spacing)
    per_voxel = 2 * len(dataset.channels) + len(dataset.regions) / 8
    return int(voxels * per_voxel * len(dataset.cases))


def _check_images(case: Case, dataset: Dataset, scans: list[Scan]) -> Iterator[Finding]:
    """Findings about the images; those that can be read are left in `scans`, one per channel."""
    try:
        scans += read_channels(case)
        for path in case.images:
            _check_compression(path)
    except EngineError as error:
        yield from _damaged_files(case, error)
        return
    if len(scans) != len(dataset.channels):
        yield Finding(
            _short(case.images[0]),
            f"The image has {len(scans)} channels, but {len(dataset.channels)} are configured.",
        )
        return
    files = case.images if len(case.images) > 1 else case.images * len(scans)
    for file, scan in zip(files, scans, strict=True):
        try:
            check_scan(scan)
        except EngineError as error:
            yield Finding(_short(file), str(error))
        if overlap_fraction(scans[0].grid, scan.grid) < MIN_OVERLAP:
            yield Finding(_short(file), "The image does not overlap the first channel in space.")


def _damaged_files(case: Case, error: EngineError) -> Iterator[Finding]:
    """Which of the case's files cannot be read."""
    if len(case.images) == 1:
        yield Finding(_short(case.images[0]), str(error))
        return
    for path in case.images:
        try:
            _read_wholly(path)
        except EngineError as own:
            yield Finding(_short(path), str(own))


def _read_wholly(path: Path) -> Scan:
    scan = read_scan(path)
    _check_compression(path)
    return scan


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
    values = np.unique(label.array)
    known = {0, *dataset.labels.values(), *(v for r in dataset.regions.values() for v in r)}
    unknown = [v for v in values.tolist() if v not in known]
    if unknown:
        yield Finding(file, f"The label has the unknown value {unknown[0]:g}.")
    elif lesion_volume(label, dataset) == 0:
        yield Finding(
            file,
            "The label is empty; exclude the case unless it is a healthy example.",
            fatal=False,
        )


def _grids_differ(label: Scan, image: Scan) -> str:
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
