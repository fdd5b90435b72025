"""A DICOM series that holds several volumes, taken apart.

Scanners write what one run of a sequence gives into one series: three planes of a localiser, all
weightings of a diffusion scan, two echoes, magnitude beside phase, a scan that was repeated.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from factorizer_engine.images.files.dicom.headers import Acquisition, Slice

MOST_PARTS = 12
"""A series that would fall into more parts is left whole, and refused as what it is."""

MOST_REPEATS = 3
"""From more than this on, repeated volumes are a time series, of which none is the scan."""

_DIRECTION_TOLERANCE, _SPACING_TOLERANCE = 1e-3, 1e-3

Parts = Mapping[str, Sequence[Slice]]
"""Images by what tells them from the others, "" if nothing has to."""


def same_raster(first: Slice, second: Slice) -> bool:
    """Whether two images with a place have one size, spacing and direction."""
    if first.orientation is None or second.orientation is None:
        return False
    return (
        first.shape == second.shape
        and first.samples == second.samples
        and np.allclose(first.spacing, second.spacing, rtol=_SPACING_TOLERANCE)
        and np.allclose(first.orientation, second.orientation, atol=_DIRECTION_TOLERANCE)
    )


def parts_of(slices: Sequence[Slice]) -> Parts:
    """The volumes that the images of a series make; all in one if they cannot be told apart.

    Images are told apart by size and direction; where several lie at one place, by image type,
    diffusion weighting, echo, time point and acquisition, and at last by the time of day.
    """
    if any(item.position is None or item.orientation is None for item in slices):
        return {"": slices}
    rasters: list[list[Slice]] = []
    for item in slices:
        known = next((own for own in rasters if same_raster(own[0], item)), None)
        if known is not None:
            known.append(item)
        elif len(rasters) == MOST_PARTS:
            return {"": slices}
        else:
            rasters.append([item])
    names = _raster_names([own[0] for own in rasters])
    return {
        ", ".join(filter(None, (name, more))): part
        for name, own in zip(names, rasters, strict=True)
        for more, part in _by_acquisition(own).items()
    }


def _raster_names(examples: Sequence[Slice]) -> list[str]:
    """What tells rasters apart: their planes, else their sizes, else a number."""
    if len(examples) == 1:
        return [""]
    for describe in (_plane, _plane_and_size):
        names = [describe(item) for item in examples]
        if len(set(names)) == len(names):
            return names
    return [f"{_plane_and_size(item)}, {number}" for number, item in enumerate(examples, start=1)]


def _plane(item: Slice) -> str:
    normal = np.abs(np.cross(*item.orientation)) if item.orientation is not None else np.zeros(3)
    return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]


def _plane_and_size(item: Slice) -> str:
    return f"{_plane(item)} {item.shape[0]} x {item.shape[1]}"


def _by_acquisition(slices: Sequence[Slice]) -> Parts:
    """Images of one raster, parted until no two lie at one place, as far as that is possible."""
    most = _most_at_one_place(slices)
    if most == 1:
        return {"": slices}
    for describe, limit in _TRAITS:
        groups: dict[Hashable, list[Slice]] = defaultdict(list)
        for item in slices:
            groups[describe(item.acquired)].append(item)
        if 1 < len(groups) <= limit and all(
            _places(own) > 1 and _most_at_one_place(own) < most for own in groups.values()
        ):
            return _parted(groups)
    return _by_time(slices, most)


def _parted(groups: Mapping[Hashable, Sequence[Slice]]) -> Parts:
    names = _short_names([str(name) for name in groups])
    return {
        ", ".join(filter(None, (name, more))): part
        for name, own in zip(names, groups.values(), strict=True)
        for more, part in _by_acquisition(own).items()
    }


def _short_names(names: Sequence[str]) -> list[str]:
    """The words, between backslashes, that not all names have."""
    words = [name.split("\\") for name in names]
    common = set(words[0]).intersection(*words)
    short = [" ".join(word for word in own if word not in common) or "other" for own in words]
    return short if len(set(short)) == len(short) else list(names)


def _by_time(slices: Sequence[Slice], most: int) -> Parts:
    """A few volumes that follow each other in time, although nothing else tells them apart."""
    repeats: dict[str, list[Slice]] = defaultdict(list)
    at_place: dict[Hashable, dict[object, Slice]] = defaultdict(dict)
    for item in slices:
        at_place[_place(item)][item.identity] = item
    for own in at_place.values():
        ordered = sorted(own.values(), key=lambda item: item.acquired.time)
        for number, item in enumerate(ordered, start=1):
            repeats[f"repeat {number}"].append(item)
    times = [sorted(item.acquired.time for item in own) for own in repeats.values()]
    follow = all(before[-1] < after[0] for before, after in zip(times[:-1], times[1:], strict=True))
    return dict(repeats) if follow and most <= MOST_REPEATS else {"": slices}


def _place(item: Slice) -> Hashable:
    return None if item.position is None else tuple(np.round(item.position, 2).tolist())


def _most_at_one_place(slices: Sequence[Slice]) -> int:
    """How many different images lie at one place, where most do."""
    images = {(_place(item), item.identity) for item in slices}
    return max(Counter(place for place, _ in images).values())


def _places(slices: Sequence[Slice]) -> int:
    return len({_place(item) for item in slices})


def _weighting(acquired: Acquisition) -> str:
    return "no b-value" if acquired.b_value is None else f"b = {acquired.b_value:.0f}"


def _echo(acquired: Acquisition) -> str:
    return "no echo time" if acquired.echo_ms is None else f"TE {acquired.echo_ms:.4g} ms"


_TRAITS: tuple[tuple[Callable[[Acquisition], str], int], ...] = (
    (lambda acquired: acquired.kind, MOST_PARTS),
    (_weighting, MOST_PARTS),
    (_echo, MOST_PARTS),
    (lambda acquired: f"time point {acquired.time_point}", MOST_REPEATS),
    (lambda acquired: f"acquisition {acquired.number}", MOST_REPEATS),
)
"""What tells images at one place apart, and into how many parts."""
