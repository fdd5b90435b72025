"""Which files make up a case: folders in MSD or nnU-Net layout, or BIDS with derivatives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection
from factorizer_engine.training.data.dataset_json import read_description

Key = TypeVar("Key", str, int)

_IGNORE = "ignore"
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Case:
    """One examination: an image file per channel, in network order, and its label map.

    An MSD case has all channels in one four-dimensional file; `images` then holds that file once.
    Of a channel that the case lacks there is None. `channels` are their names, in this order.
    """

    name: str
    images: tuple[Path | None, ...]
    label: Path
    channels: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The image files that there are."""
        return tuple(path for path in self.images if path is not None)

    @property
    def absent(self) -> tuple[int, ...]:
        """Numbers of the channels that the case lacks."""
        return tuple(number for number, path in enumerate(self.images) if path is None)


@dataclass(frozen=True)
class Dataset:
    """Cases with the meaning of their channels and label values.

    Attributes:
        channels: Channel names, in file order.
        labels: Name to value, without background.
        regions: Name to the label values whose union it is; one network output each.
        cases: Sorted by name.
        unlabelled: Training images for which there is no label.
        ignore: Value of voxels of which nothing is known (nnU-Net's label "ignore"): no region
            holds or does not hold there, neither in training nor in scores.
        needs: Region to the channels without each of which it cannot be seen.
        unlabelled_regions: Region to patterns of names of cases whose label does not tell of it.
    """

    root: Path
    channels: tuple[str, ...]
    labels: dict[str, int]
    regions: dict[str, tuple[int, ...]]
    cases: tuple[Case, ...]
    unlabelled: tuple[Path, ...] = ()
    ignore: int | None = None
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unlabelled_regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def needed(self) -> tuple[tuple[int, ...], ...]:
        """Per region the numbers of the channels without each of which it cannot be seen."""
        return tuple(
            tuple(self.channels.index(channel) for channel in self.needs.get(region, ()))
            for region in self.regions
        )

    @property
    def values(self) -> frozenset[int]:
        """What voxels of a label map may hold: background, labels and what is to be ignored."""
        named = {*self.labels.values(), *(v for r in self.regions.values() for v in r)}
        return frozenset({0, *named} | (set() if self.ignore is None else {self.ignore}))

    def unknown(self, case: Case) -> tuple[int, ...]:
        """Numbers of the regions of which nothing is known in a case.

        Those that cannot be seen in the channels that it has, or that its label does not tell of.
        """
        unseen = unseen_without(case.absent, self.needed)
        return tuple(
            number
            for number, region in enumerate(self.regions)
            if number in unseen or self._is_unlabelled(case, region)
        )

    @property
    def is_partly_known(self) -> bool:
        """Whether there is anything of which nothing is known."""
        return self.ignore is not None or any(map(self.unknown, self.cases))

    def _is_unlabelled(self, case: Case, region: str) -> bool:
        patterns = self.unlabelled_regions.get(region, ())
        return any(fnmatchcase(case.name, pattern) for pattern in patterns)

    def case(self, name: str) -> Case:
        for case in self.cases:
            if case.name == name:
                return case
        raise BadInputError(f"The dataset {self.root.name} has no case '{name}'.")

    def only(self, names: Sequence[str]) -> Dataset:
        """The dataset with these cases alone, in this order."""
        return replace(self, cases=tuple(self.case(name) for name in names))


def unseen_without(absent: Sequence[int], needed: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Regions that cannot be seen in a study.

    Args:
        absent: Numbers of the channels that it lacks.
        needed: Per region the channels without each of which it cannot be seen.
    """
    return tuple(region for region, channels in enumerate(needed) if {*channels} & {*absent})


def open_dataset(section: DataSection) -> Dataset:
    """List the cases under `section.root`.

    Known layouts: MSD and nnU-Net (`imagesTr`, `labelsTr`, perhaps `dataset.json`), and BIDS as in
    ISLES'22 (masks `derivatives/**/<case>_msk.nii.gz`, images `<case>_<channel>.nii.gz` elsewhere).

    Raises:
        BadInputError: If folders, descriptions or files are missing.
    """
    root = Path(section.root)
    is_bids = (root / "derivatives").is_dir()
    for folder in (root, *(() if is_bids else (root / "imagesTr", root / "labelsTr"))):
        if not folder.is_dir():
            raise BadInputError(f"The dataset folder {folder} does not exist.")
    described = read_description(root / "dataset.json")
    channels = _channels_of(section, described)
    ignore = _ignored_value(section, described)
    labels, regions = _meaning_of_values(section, described, ignore)
    list_cases = _bids_cases if is_bids else _msd_cases
    cases = _without_excluded(
        section, root, list_cases(root, channels, frozenset(section.may_lack))
    )
    cases = tuple(replace(case, channels=channels) for case in cases)
    unlabelled = () if is_bids else _unlabelled(root, cases, frozenset(section.exclude))
    _check_needs(section.needs, regions, channels)
    _check_unlabelled(section.unlabelled, regions, cases)
    return Dataset(
        root,
        channels,
        labels,
        regions,
        cases,
        unlabelled,
        ignore,
        needs=dict(section.needs),
        unlabelled_regions=dict(section.unlabelled),
    )


def _channels_of(section: DataSection, described: Mapping[str, Any]) -> tuple[str, ...]:
    """Their names, from the configuration or dataset.json."""
    root, channels = Path(section.root), section.channels or described.get("channels")
    if not channels:
        raise BadInputError(
            f"The channels of {root.name} are unknown: "
            "name them under data.channels or in a dataset.json."
        )
    _check_channel_names(root, channels)
    for channel in section.may_lack:
        if channel not in channels:
            raise BadInputError(f"data.may_lack names the channel {channel}, which is unknown.")
    return tuple(channels)


def _meaning_of_values(
    section: DataSection, described: Mapping[str, Any], ignore: int | None
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Labels and regions by name, from the configuration or dataset.json."""
    root = Path(section.root)
    labels, regions = (
        _without_ignored(own) or _without_ignored(described.get(key), ignore)
        for own, key in ((section.labels, "labels"), (section.regions, "regions"))
    )
    if not regions:
        raise BadInputError(
            f"The labels of {root.name} are unknown: "
            "name them under data.regions or in a dataset.json."
        )
    for name, values in regions.items():
        if ignore in values:
            raise BadInputError(
                f"The region {name} holds the value {ignore}, which is to be ignored; "
                "take it out of the region, or call the label otherwise."
            )
    labels = labels or {f"label {v}": v for v in sorted({v for r in regions.values() for v in r})}
    return labels, regions


def _without_excluded(section: DataSection, root: Path, found: Sequence[Case]) -> tuple[Case, ...]:
    unknown = sorted({*section.exclude} - {case.name for case in found})
    if unknown:
        raise BadInputError(f"The excluded case '{unknown[0]}' is not in {root.name}.")
    cases = tuple(case for case in found if case.name not in section.exclude)
    if not cases:
        raise BadInputError(f"The dataset {root} has no labelled cases.")
    return cases


def _check_channel_names(root: Path, channels: Sequence[str]) -> None:
    known: set[str] = set()
    for number, name in enumerate(channels):
        if not name.strip() or name.casefold() in known:
            twice = f"Two channels of {root.name} are called {name}"
            problem = twice if name.strip() else f"The channel {number} of {root.name} has no name"
            raise BadInputError(f"{problem}; give each a name of its own under data.channels.")
        known.add(name.casefold())


def _check_unlabelled(
    unlabelled: Mapping[str, Sequence[str]], regions: Mapping[str, Any], cases: Sequence[Case]
) -> None:
    for region, patterns in unlabelled.items():
        if region not in regions:
            raise BadInputError(f"data.unlabelled names the region {region}, which is unknown.")
        for pattern in patterns:
            if not any(fnmatchcase(case.name, pattern) for case in cases):
                raise BadInputError(f"data.unlabelled: no case is called {pattern}.")


def _check_needs(
    needs: Mapping[str, Sequence[str]], regions: Mapping[str, Any], channels: Sequence[str]
) -> None:
    for region, wanted in needs.items():
        if region not in regions:
            raise BadInputError(f"data.needs names the region {region}, which is unknown.")
        for channel in wanted:
            if channel not in channels:
                raise BadInputError(f"data.needs names the channel {channel}, which is unknown.")


def _ignored_value(section: DataSection, described: Mapping[str, Any]) -> int | None:
    """The value of the label that is called "ignore", in the configuration or dataset.json."""
    if section.ignore is not None:
        return section.ignore
    for names in (section.labels, section.regions, described.get("regions")):
        for name, value in (names or {}).items():
            if _is_ignore(name):
                values = (value,) if isinstance(value, int) else tuple(value)
                if len(values) != 1:
                    raise BadInputError("The label 'ignore' must have one value.")
                return values[0]
    return None


def _without_ignored(names: Mapping[str, Any] | None, ignore: int | None = None) -> dict[str, Any]:
    """The labels or regions but for those that are called "ignore" or are this very value."""
    ignored = (ignore, (ignore,))
    return {n: v for n, v in (names or {}).items() if not _is_ignore(n) and v not in ignored}


def _is_ignore(name: str) -> bool:
    return name.strip().lower() == _IGNORE


def _unlabelled(root: Path, cases: tuple[Case, ...], exclude: frozenset[str]) -> tuple[Path, ...]:
    used = {path for case in cases for path in case.files}
    return tuple(
        path
        for path in sorted((root / "imagesTr").iterdir())
        if _is_image(path)
        and path not in used
        and not {_stem(path), _stem(path).rpartition("_")[0]} & exclude
    )


def _bids_cases(root: Path, channels: Sequence[str], may_lack: frozenset[str]) -> list[Case]:
    files = [p for p in sorted(root.rglob("*")) if _is_image(p)]
    derivatives = root / "derivatives"
    images = {_stem(p).lower(): p for p in files if derivatives not in p.parents}
    cases = []
    for label in files:
        name = _stem(label).removesuffix("_msk")
        if derivatives not in label.parents or name == _stem(label):
            continue
        wanted = [f"{name}_{channel}".lower() for channel in channels]
        for channel, key in zip(channels, wanted, strict=True):
            if key not in images and channel not in may_lack:
                raise BadInputError(
                    f"The case {name} lacks the channel {channel}: {key}.nii.gz is missing."
                )
        cases.append(_case(name, [images.get(key) for key in wanted], label))
    return cases


def _case(name: str, images: Sequence[Path | None], label: Path) -> Case:
    if not any(images):
        raise BadInputError(f"The case {name} has no image.")
    return Case(name, tuple(images), label)


def _msd_cases(root: Path, channels: Sequence[str], may_lack: frozenset[str]) -> list[Case]:
    labels: dict[str, Path] = {}
    for path in sorted((root / "labelsTr").iterdir()):
        if _is_image(path):
            _add_once(labels, _stem(path), path)
    images: dict[str, dict[int, Path]] = {}
    for path in sorted((root / "imagesTr").iterdir()):
        if not _is_image(path):
            continue
        name, number = _stem(path), None
        match = re.fullmatch(r"(.+)_(\d{4})", name)
        if match and match[1] in labels:
            name, number = match[1], int(match[2])
        _add_once(images.setdefault(name, {}), -1 if number is None else number, path)
    cases = []
    for name, label in labels.items():
        found = images.get(name, {})
        if set(found) == {-1}:
            cases.append(Case(name, (found[-1],), label))
            continue
        for number, channel in enumerate(channels):
            if number not in found and channel not in may_lack:
                raise BadInputError(
                    f"The case {name} lacks channel {number} ({channel}): "
                    f"imagesTr/{name}_{number:04d} is missing."
                )
        cases.append(_case(name, [found.get(n) for n in range(len(channels))], label))
    return cases


def _add_once(files: dict[Key, Path], key: Key, path: Path) -> None:
    """Note a file; refuses a second one of another format that stands for the same."""
    if key in files:
        raise BadInputError(
            f"{path.parent.name} holds both {files[key].name} and {path.name}; remove one of them."
        )
    files[key] = path


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _stem(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name
