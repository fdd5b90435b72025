"""How far two scans of one brain lie apart, by matching blocks (Ourselin et al., IVC 19, 2001)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np

#: Moves that are tried, in voxels along each axis.
REACH = 5

#: Blocks with fewer voxels, and brains with fewer, are not looked at.
SMALLEST_BLOCK, SMALLEST_BRAIN = 300, 500

#: Of the voxels of a block, every second one is looked at.
_STEP = 2

#: Intensities count as so many equally frequent levels.
_LEVELS = 12

Move = tuple[int, int, int]


def displacement(
    first: np.ndarray, second: np.ndarray, brain: np.ndarray, spacing: np.ndarray
) -> float | None:
    """Median, over the octants of a brain, of the moves that bring two scans together best.

    A move is the better, the more information an octant of one scan has of the other. Scans that
    lie on each other stay below a voxel, scans that show different things wander anywhere.

    Args:
        first, second: Voxels, shape (X, Y, Z).
        brain: Which of them are brain in both.
        spacing: Voxel size in mm.

    Returns:
        The distance in mm; None where there is too little to look at.
    """
    if brain.sum() < SMALLEST_BRAIN:
        return None
    still, moving = _levels(first, brain), np.pad(_levels(second, brain), REACH, mode="edge")
    moves = [
        _best_move(still[tuple(block)], moving, block)
        for block in _octants(brain)
        if block.shape[1] * _STEP >= SMALLEST_BLOCK
    ]
    return float(np.median([np.linalg.norm(move * spacing) for move in moves])) if moves else None


def _levels(array: np.ndarray, brain: np.ndarray) -> np.ndarray:
    edges = np.quantile(array[brain], np.linspace(0, 1, _LEVELS + 1)[1:-1])
    return np.searchsorted(edges, array)


def _octants(brain: np.ndarray) -> list[np.ndarray]:
    """Indices, shape (3, N), of voxels on each side of the middle of a brain along all axes."""
    voxels = np.array(np.nonzero(brain))
    upper = voxels >= np.median(voxels, axis=1, keepdims=True)
    return [
        voxels[:, (upper == np.array(side)[:, None]).all(axis=0)][:, ::_STEP]
        for side in product((False, True), repeat=3)
    ]


def _best_move(still: np.ndarray, moving: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """The move, to parts of a voxel, that brings voxels of one scan onto a padded other one."""
    places = np.ravel_multi_index(tuple(voxels + REACH), moving.shape)
    strides = np.array(moving.strides) // moving.itemsize
    line = moving.ravel()

    @cache
    def fit(move: Move) -> float:
        return information(still, line[places + int(strides @ np.array(move))], _LEVELS)

    best: Move = (0, 0, 0)
    while (better := max([best, *_neighbours(best)], key=fit)) != best:
        best = better
    return np.array(best) + [_refined(fit, best, axis) for axis in range(3)]


def _neighbours(move: Move) -> list[Move]:
    around = [_stepped(move, axis, step) for axis in range(3) for step in (-1, 1)]
    return [near for near in around if max(map(abs, near)) <= REACH]


def _stepped(move: Move, axis: int, step: int) -> Move:
    first, second, third = (part + step * (axis == place) for place, part in enumerate(move))
    return first, second, third


def _refined(fit: Callable[[Move], float], best: Move, axis: int) -> float:
    """Where between neighbours a parabola through three fits has its top."""
    if abs(best[axis]) == REACH:
        return 0.0
    below, middle, above = (fit(_stepped(best, axis, step)) for step in (-1, 0, 1))
    bend = below - 2 * middle + above
    return 0.5 * (below - above) / bend if bend < 0 else 0.0


def information(a: np.ndarray, b: np.ndarray, levels: int) -> float:
    """Mutual information of two lines of levels, in nats."""
    joint = np.bincount(a * levels + b, minlength=levels**2).reshape(levels, levels) / a.size
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    used = joint > 0
    return float((joint[used] * np.log(joint[used] / expected[used])).sum())
