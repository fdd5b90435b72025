"""Which lesion of one study is which of another, after both were brought together.

Lesions that share voxels are the same; several may have merged into one, or one may have been
split. Those that are left, small ones above all, which a registration may miss by a voxel or
two, are paired so that the distances add up to the least (Kuhn, Naval Research Logistics 2, 1955).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.follow_up import (
    CHANGE,
    GONE,
    GROWN,
    NEW,
    SHRUNK,
    STABLE,
    LesionChange,
)
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.triples import triple

_ROUNDING = 1e-9
"""Of volumes, whose parts are seldom exact: 13 voxels are 30 % more than 10."""
NEAR_MM = 5.0
"""Two lesions without common voxels can be the same if their centres are so near."""


def match_lesions(
    earlier: tuple[Scan, Sequence[Lesion]],
    later: tuple[Scan, Sequence[Lesion]],
    to_later: np.ndarray,
) -> list[LesionChange]:
    """What became of every lesion, the largest first.

    Args:
        earlier, later: The voxels of every lesion of a study, see `lesion_numbers`, and the
            lesions.
        to_later: 4x4, from the world of the earlier study to that of the later one, mm RAS.
    """
    before, after = list(earlier[1]), list(later[1])
    moved = Scan.of(earlier[0].array, to_later @ earlier[0].affine)
    there = resample(moved, later[0].grid, "nearest").array
    pairs = _sharing(there, later[0].array)
    pairs += _near(
        [lesion for lesion in before if lesion.id not in {first for first, _ in pairs}],
        [lesion for lesion in after if lesion.id not in {second for _, second in pairs}],
        to_later,
    )
    changes = [
        _change(
            [lesion for lesion in before if lesion.id in own],
            [lesion for lesion in after if lesion.id in others],
            to_later,
        )
        for own, others in _groups(pairs, before, after)
    ]
    return sorted(changes, key=lambda change: -max(change.before_ml, change.after_ml))


def _sharing(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Ids of lesions that share voxels."""
    both = (first > 0) & (second > 0)
    pairs = np.unique(np.stack([first[both], second[both]], axis=1), axis=0)
    return [(int(one), int(other)) for one, other in pairs]


def _near(
    before: Sequence[Lesion], after: Sequence[Lesion], to_later: np.ndarray
) -> list[tuple[int, int]]:
    if not before or not after:
        return []
    own = np.array([lesion.centroid_ras for lesion in before]) @ to_later[:3, :3].T
    own = own + to_later[:3, 3]
    others = np.array([lesion.centroid_ras for lesion in after])
    distances = np.linalg.norm(own[:, None] - others[None], axis=2)
    rows, columns = linear_sum_assignment(np.minimum(distances, 10 * NEAR_MM))
    return [
        (before[row].id, after[column].id)
        for row, column in zip(rows, columns, strict=True)
        if distances[row, column] <= NEAR_MM
    ]


def _groups(
    pairs: Sequence[tuple[int, int]], before: Sequence[Lesion], after: Sequence[Lesion]
) -> list[tuple[set[int], set[int]]]:
    """The ids of lesions that belong together, those of nothing else too."""
    rows = {lesion.id: number for number, lesion in enumerate(before)}
    columns = {lesion.id: len(before) + number for number, lesion in enumerate(after)}
    links = [(rows[one], columns[other]) for one, other in pairs]
    ends = np.array(links, dtype=np.int32).reshape(-1, 2).T  # SciPy 1.11 fails without a word else
    size = len(before) + len(after)
    graph = coo_array((np.ones(len(links)), tuple(ends)), shape=(size, size))
    count, group = connected_components(graph, directed=False)
    return [
        (
            {lesion.id for lesion in before if group[rows[lesion.id]] == number},
            {lesion.id for lesion in after if group[columns[lesion.id]] == number},
        )
        for number in range(count)
    ]


def _change(
    before: Sequence[Lesion], after: Sequence[Lesion], to_later: np.ndarray
) -> LesionChange:
    volumes = [sum(lesion.volume_ml for lesion in lesions) for lesions in (before, after)]
    shown = max(after or before, key=lambda lesion: lesion.volume_ml)
    point = np.array(shown.long_axis.middle)
    if not after:
        point = to_later[:3, :3] @ point + to_later[:3, 3]
    return LesionChange(
        kind=_kind(*volumes),
        before=tuple(lesion.id for lesion in before),
        after=tuple(lesion.id for lesion in after),
        before_ml=volumes[0],
        after_ml=volumes[1],
        point=triple(map(float, point)),
        place=shown.place,
        parts_before=_parts(before),
        parts_after=_parts(after),
    )


def _kind(before_ml: float, after_ml: float) -> str:
    if not before_ml:
        return NEW
    if not after_ml:
        return GONE
    change = (after_ml - before_ml) / before_ml
    if abs(change) < CHANGE - _ROUNDING:
        return STABLE
    return GROWN if change > 0 else SHRUNK


def _parts(lesions: Sequence[Lesion]) -> dict[str, float]:
    volumes: dict[str, float] = {}
    for lesion in lesions:
        for part in lesion.parts:
            volumes[part.name] = volumes.get(part.name, 0.0) + part.volume_ml
    return volumes
