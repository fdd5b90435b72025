"""What would keep a configuration from being trained, found before hours are spent on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from factorizer_engine.bundles.reading.validation import check_bundle
from factorizer_engine.images.files import read_labels
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.wording import enumerated
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.checks import CheckReport, UnfitDataError, check_dataset
from factorizer_engine.training.data.dataset import Dataset, open_dataset
from factorizer_engine.training.data.splits import Split, make_split
from factorizer_engine.training.run.beginning import beginning_network
from factorizer_engine.training.run.model import model_of
from factorizer_engine.training.run.validation import subsets_of

# last.pt holds network, average and two moments, and exists twice while it is replaced; best.pt and
# final.pt hold the average.
_BYTES_PER_WEIGHT = (2 * 4 + 2) * 4

_NAMES_IN_RECORDS = frozenset({"kind", "step", "dice", "cases", "score", "subsets"})


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
    check_model(config, dataset)
    report = check_dataset(dataset)
    if report.problems:
        raise UnfitDataError(report)
    check_validation(make_split(config.split, report.volumes, write=False), dataset)
    weights = sum(p.numel() for p in beginning_network(config, dataset).parameters())
    check_room(config, dataset, weights)
    return report


def check_validation(split: Split, dataset: Dataset) -> None:
    """Make sure that weights are chosen on cases of which everything is known.

    Raises:
        BadInputError: If one lacks a channel, or its label does not tell of a region.
    """
    for name in split.validation:
        case = dataset.case(name)
        if case.absent or dataset.unknown(case):
            lacks = [dataset.channels[channel] for channel in case.absent]
            what = f"lacks {enumerated(lacks)}" if lacks else "has a label without all regions"
            raise BadInputError(
                f"The case {name} {what} and cannot be validated on; name complete cases under "
                "split.validation."
            )


def check_model(config: TrainingConfig, dataset: Dataset) -> None:
    """Make sure that what the training makes will be a model that can be exported and applied.

    Raises:
        BadInputError: If not.
        BadModelError: If the settings do not go with each other.
    """
    reserved = sorted(_NAMES_IN_RECORDS & set(dataset.regions))
    if reserved:
        raise BadInputError(
            f"A region cannot be called '{reserved[0]}', which the records of a run use; "
            "name it otherwise."
        )
    one_of_each = len(dataset.channels) == len(dataset.regions) == 1
    for name in ("painted_lesions", "structures"):
        if getattr(config.augmentation, name) and not one_of_each:
            raise BadInputError(
                f"augmentation.{name} needs data with one channel and one region; leave it out."
            )
    check_bundle(model_of(config, config.name, dataset.channels, dataset.regions, dataset.labels))
    subsets_of(dataset, config.run.validation_subsets)


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
    for place, needed, kinds in needs.values():
        free = shutil.disk_usage(place).free
        if needed > free:
            raise BadInputError(
                f"The {' and '.join(kinds)} need {_size(needed)}, "
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
    label = read_labels(dataset.cases[0].label)
    spacing = config.preprocessing.spacing or label.spacing
    voxels = np.prod(label.shape) * np.prod(label.spacing) / np.prod(spacing)
    per_voxel = 2 * len(dataset.channels) + len(dataset.regions) / 8
    return int(voxels * per_voxel * len(dataset.cases))
