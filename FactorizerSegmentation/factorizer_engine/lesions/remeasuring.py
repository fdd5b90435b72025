"""Lesions of a segmentation that was changed, with the numbers that they had before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import ndimage

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions, lesion_voxels
from factorizer_engine.protocol.lesions import Lesion, Measures

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Label, Region

_SAMPLES = 33
"""Points along the short axis of a lesion, by which it is known again."""
_AnyMeasures = TypeVar("_AnyMeasures", bound=Measures)
_NEIGHBOURS = np.ones((3, 3, 3), bool)


def measure_again(
    labelmap: Scan,
    regions: Sequence[Region],
    labels: Sequence[Label],
    probabilities: np.ndarray | None,
    scan: Scan | None,
    edited: np.ndarray | None,
    known: Sequence[Lesion],
    gone: Iterable[int] = (),
) -> list[Lesion]:
    """Measure as `find_lesions` does, and tell which lesions are known and which were edited.

    A lesion that holds most of the short axis of a known one has its number, unless a larger known
    one claims it; all others get new numbers. So of a lesion that fell apart one part keeps the
    number, and of lesions that grew together the largest stays.

    Args:
        labelmap, regions, labels, probabilities, scan: See `find_lesions`. Where no known lesion
            has a place in the head, the scan cannot tell it, and none gets one.
        edited: Boolean, (I, J, K), where voxels were changed by hand, or None.
        known: The lesions as they were before.
        gone: Numbers of lesions that were taken out, which no other one gets.

    Returns:
        All lesions, from large to small.
    """
    voxels = lesion_voxels(labelmap.array, labels)
    if known and not any(lesion.place for lesion in known):
        scan = None
    lesions = find_lesions(labelmap, regions, labels, probabilities, scan)
    numbers = _numbers(voxels, labelmap, known, gone)
    before = {lesion.id: lesion for lesion in known}
    return [
        replace(
            _recalled(lesion, before.get(number)),
            id=number,
            edited_ml=_edited_ml(own, labelmap, edited),
        )
        for lesion, own, number in zip(lesions, voxels, numbers, strict=True)
    ]


def _recalled(lesion: Lesion, before: Lesion | None) -> Lesion:
    """With what was known of it, and cannot be measured again, as long as it is what it was."""
    if before is None or not _are_alike(lesion, before):
        return lesion
    known = {part.label: part for part in before.parts}
    parts = tuple(_with_probability(part, known.get(part.label)) for part in lesion.parts)
    return replace(_with_probability(lesion, before), parts=parts, likeness=before.likeness)


def _with_probability(now: _AnyMeasures, before: _AnyMeasures | None) -> _AnyMeasures:
    """Where there are no maps, as in a scene that was saved without them."""
    if before is None or not _are_alike(now, before) or not math.isnan(now.mean_probability):
        return now
    return replace(now, mean_probability=before.mean_probability)


def _are_alike(one: Measures, other: Measures) -> bool:
    return math.isclose(one.volume_ml, other.volume_ml, rel_tol=1e-6)


def _numbers(
    voxels: Sequence[np.ndarray], labelmap: Scan, known: Sequence[Lesion], gone: Iterable[int]
) -> list[int]:
    """The number of every mass, whose voxels (N, 3) are given."""
    masses = np.zeros(labelmap.shape, np.int32)
    for index, own in enumerate(voxels, start=1):
        masses[tuple(own.T)] = index
    taken: dict[int, int] = {}
    for lesion in sorted(known, key=lambda lesion: -lesion.volume_ml):
        hits = np.bincount(masses[_axis_voxels(lesion, labelmap)], minlength=1)
        hits[0] = 0
        index = int(hits.argmax())
        if hits[index] and index not in taken:
            taken[index] = lesion.id
    following = max((*(lesion.id for lesion in known), *gone), default=0) + 1
    numbers = []
    for index in range(1, len(voxels) + 1):
        if index not in taken:
            taken[index], following = following, following + 1
        numbers.append(taken[index])
    return numbers


def _axis_voxels(lesion: Lesion, labelmap: Scan) -> tuple[np.ndarray, ...]:
    """Indices along the short axis, without its ends, which lie on faces of voxels."""
    points = np.linspace(lesion.short_axis.start, lesion.short_axis.end, _SAMPLES)[1:-1]
    inverse = np.linalg.inv(labelmap.affine)
    indices = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((indices >= 0) & (indices < labelmap.shape)).all(axis=1)
    return tuple(indices[inside].T)


def _edited_ml(voxels: np.ndarray, labelmap: Scan, edited: np.ndarray | None) -> float:
    """Volume in mL of the edited voxels in a mass and right beside it, where some were erased."""
    if edited is None:
        return 0.0
    low = np.maximum(voxels.min(axis=0) - 1, 0)
    high = np.minimum(voxels.max(axis=0) + 2, labelmap.shape)
    box = tuple(map(slice, low, high))
    mass = np.zeros(high - low, bool)
    mass[tuple((voxels - low).T)] = True
    touched = ndimage.binary_dilation(mass, _NEIGHBOURS) & edited[box]
    return labelmap.grid.volume_ml(int(np.count_nonzero(touched)))
