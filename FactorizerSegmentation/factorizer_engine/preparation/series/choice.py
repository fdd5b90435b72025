"""The best series for each channel of a model, and what speaks for and against every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from factorizer_engine.images.files.dicom.series import Series, list_series
from factorizer_engine.images.files.dicom.stack import stack
from factorizer_engine.images.geometry import Grid
from factorizer_engine.preparation.series.facts import read_facts
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.matching import guess_channel
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.series import (
    LEAST_IMAGES,
    OTHER,
    Facts,
    Kind,
    Rank,
    kinds_of,
    rank_of,
)
from factorizer_engine.protocol.wording import enumerated

_PLANES = {"IS": "axial", "PA": "coronal", "LR": "sagittal"}


@dataclass(frozen=True, eq=False)
class Entry:
    """A series of the study and what becomes of it.

    Attributes:
        key: What names it in its folder: its Series Instance UID, and its part of that series.
        title: Its number and description.
        kind: Which sequence it is.
        channel: The channel that it could be; None if none.
        rank: Where it stands among those of its kind; None if it is no volume.
        plane: Such as "axial".
        reason: Why it is used or not, in words.
    """

    key: str
    title: str
    kind: str
    channel: str | None
    rank: Rank | None
    plane: str
    reason: str


@dataclass(frozen=True)
class StudyChoice:
    """The series of a study.

    Attributes:
        entries: All, by number, each with the reason why it is used or not.
        chosen: Key of the series by channel, in network order.
    """

    entries: tuple[Entry, ...]
    chosen: dict[str, str]


def choose_series(folder: Path, channels: Sequence[Channel]) -> StudyChoice:
    """Choose from a folder with the DICOM files of one study.

    Of several series for one channel the best is taken, see `protocol.series.rank_of`.

    Args:
        folder: Files may lie in it or below it.
        channels: What the model takes.

    Raises:
        BadInputError: If the folder holds no images, several patients or studies, or nothing that
            the model takes.
    """
    folder = folder.expanduser().absolute()  # "." has no name
    found = list_series(folder)
    if not found:
        raise BadInputError(
            f"{folder.name} holds no DICOM images; give the folder of a study, or image files."
        )
    facts = [read_facts(series) for series in found]
    _check_one_study(folder, found, facts)
    entries = [
        _entry(series, own, kind, channels)
        for series, own, kind in zip(found, facts, kinds_of(facts), strict=True)
    ]
    chosen: dict[str, str] = {}
    for channel in channels:
        fitting = [(e.rank, e) for e in entries if e.channel == channel.name and e.rank is not None]
        if not fitting:
            continue
        _, best = min(reversed(fitting), key=lambda ranked: ranked[0])
        chosen[channel.name] = best.key
        entries = [_with_verdict(entry, best, channel.name) for entry in entries]
    if not chosen:
        held = "; ".join(f"{e.title}: {e.reason.removeprefix('not used: ')}" for e in entries)
        wanted = enumerated([channel.name for channel in channels])
        raise BadInputError(
            f"{folder.name} holds no series for {wanted}, which the model takes, but {held}. "
            "Give the folder of the whole study."
        )
    return StudyChoice(tuple(entries), chosen)


def _check_one_study(folder: Path, found: Sequence[Series], facts: Sequence[Facts]) -> None:
    patients: dict[str, Series] = {}
    for series, own in zip(found, facts, strict=True):
        if own.patient:
            patients.setdefault(own.patient, series)
    if len(patients) > 1:
        examples = " and ".join(f"{s.title} in {_place(folder, s)}" for s in patients.values())
        raise BadInputError(
            f"{folder.name} holds scans of {len(patients)} patients ({examples}, for example); "
            "give the folder of one."
        )
    studies = {own.study: own.date for own in facts if own.study}
    if len(studies) > 1:
        dates = ", ".join(sorted(date for date in studies.values() if date))
        raise BadInputError(
            f"{folder.name} holds {len(studies)} studies{f' ({dates})' if dates else ''}; "
            "give the folder of one."
        )


def _place(folder: Path, series: Series) -> Path:
    """Where a series lies, from the folder of the study on."""
    return folder.name / series.slices[0].file.parent.relative_to(folder)


def _entry(series: Series, facts: Facts, kind: Kind, channels: Sequence[Channel]) -> Entry:
    if series.modality not in ("MR", ""):
        kind = Kind(OTHER, f"it is {series.modality}, no MR")
    channel = None if kind.name == OTHER else guess_channel(kind.name, channels)
    reason = f"not used: {kind.evidence}"
    if kind.name != OTHER and channel is None:
        reason = f"not used: the model takes no {kind.name} ({kind.evidence})"
    grid, problem = _grid_of(series)
    if channel is not None and problem:
        reason = f"not used: {problem}"
    return Entry(
        key=series.key,
        title=f"{series.number} {series.name}".strip() or series.title,
        kind=kind.name,
        channel=channel,
        rank=None if grid is None else _rank(facts, kind, grid),
        plane="" if grid is None else _plane(grid),
        reason=reason if channel is None or problem else kind.evidence,
    )


def _grid_of(series: Series) -> tuple[Grid | None, str]:
    """Where the voxels of a series lie, or why it is no volume."""
    if series.problems:
        return None, str(series.problems[0])
    if series.count < LEAST_IMAGES:
        return None, f"only {series.count} images"
    try:
        slices, affine = stack(series)
    except BadInputError as error:
        return None, str(error)
    return Grid((*slices[0].shape, len(slices)), affine), ""


def _rank(facts: Facts, kind: Kind, grid: Grid) -> Rank:
    extent = grid.shape[2] * grid.spacing[2]
    return rank_of(facts, kind.name, max(grid.spacing), _plane(grid) == "axial", extent)


def _plane(grid: Grid) -> str:
    """The plane of the images; voxels of one size have been acquired as a volume."""
    if max(grid.spacing) < 1.3 * min(grid.spacing):
        return "3D"
    letter = grid.orientation[2]
    return next(plane for letters, plane in _PLANES.items() if letter in letters)


def _with_verdict(entry: Entry, best: Entry, channel: str) -> Entry:
    own, other = entry.rank, best.rank
    if entry.channel != channel or own is None or other is None:
        return entry
    what = f"{entry.plane}, voxels {own.distance_mm:.2g} mm apart"
    if entry is best:
        return replace(entry, reason=f"used as {channel}: {entry.reason}; {what}")
    if own.computed and not other.computed:
        why = "computed from other images"
    elif own.not_axial and not other.not_axial:
        why = f"{what}; {best.title} is {best.plane}"
    elif own.distance_mm > other.distance_mm:
        why = f"{what}; {best.title} is finer"
    elif own.uncorrected > other.uncorrected:
        why = f"{best.title} is the same, corrected by the scanner"
    elif own.uncovered > other.uncovered:
        why = f"{best.title} covers more"
    else:
        why = f"{best.title} was taken later"
    return replace(entry, reason=f"not used: {why}")
