"""How a head lies, from its outline: brains and heads have the same shape in all people.

The mean outlines in `outlines.json` were learnt by `Testing/benchmarks/input_checks.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
from scipy import ndimage

_FILE = Path(__file__).with_name("outlines.json")

#: Points along each axis at which an outline is looked at.
_POINTS = 12

#: How far from its middle that is, in cube roots of the volume.
_REACH = 0.86

#: What correlates less with a mean outline, however it is turned, is no whole brain or head.
_ALIKE = 0.93

#: By how much another posture has to correlate better. Heads are alike when turned by 180 degrees.
BETTER_BRAIN, BETTER_HEAD = 0.01, 0.02


@dataclass(frozen=True, eq=False)
class Outlines:
    """Mean outlines, upright and the same on both sides.

    Attributes:
        brain: Of brains, shape (P, P, P), axes along R, A, S.
        head: Of heads with their skulls, likewise.
    """

    brain: np.ndarray
    head: np.ndarray

    @classmethod
    def fit(cls, brains: Iterable[np.ndarray], heads: Iterable[np.ndarray]) -> Outlines:
        """Learn from masks of upright brains and heads, axes along R, A, S."""
        return cls(_mean(brains), _mean(heads))

    def is_upright(self, mask: np.ndarray, stripped: bool) -> bool:
        """Whether no quarter or half turn makes a mask more like a brain, or a head.

        Parts of a head, which are like neither in any posture, pass.

        Args:
            mask: Voxels of one size in all directions, shape (X, Y, Z), axes along R, A, S.
            stripped: Whether it is a brain.
        """
        own, mean = outline(mask), self.brain if stripped else self.head
        fits = [float(np.corrcoef(own.ravel(), turn.ravel())[0, 1]) for turn in _turns(mean)]
        better = max(fits) - fits[0] > (BETTER_BRAIN if stripped else BETTER_HEAD)
        return not better or max(fits) < _ALIKE

    def save(self, path: Path = _FILE) -> None:
        """Write one half of each as JSON, in percent."""
        halves = {"brain": self.brain, "head": self.head}
        content = {n: np.rint(100 * a[: _POINTS // 2]).astype(int) for n, a in halves.items()}
        lines = json.dumps({name: array.tolist() for name, array in content.items()})
        path.write_text(lines.replace("], [", "],\n [") + "\n", encoding="utf-8")


@cache
def known_outlines() -> Outlines:
    """What was learnt."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    halves = [np.array(content[name]) / 100 for name in ("brain", "head")]
    return Outlines(*(np.concatenate([half, half[::-1]]) for half in halves))


def outline(mask: np.ndarray) -> np.ndarray:
    """A mask at few points around its middle, scaled to one volume, shape (P, P, P)."""
    voxels = np.argwhere(mask)
    ticks = np.linspace(-_REACH, _REACH, _POINTS) * len(voxels) ** (1 / 3)
    points = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij")).reshape(3, -1)
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), (ticks[1] - ticks[0]) / 2)
    values = ndimage.map_coordinates(smooth, points + voxels.mean(axis=0)[:, None], order=1)
    return np.asarray(values).reshape(_POINTS, _POINTS, _POINTS)


def _mean(masks: Iterable[np.ndarray]) -> np.ndarray:
    mean = np.mean([outline(mask) for mask in masks], axis=0)
    both: np.ndarray = (mean + mean[::-1]) / 2
    return both


def _turns(array: np.ndarray) -> list[np.ndarray]:
    """The array turned in all 48 ways, mirrored ones too; the first as it is."""
    return [
        array.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        for order in permutations(range(3))
        for steps in product((1, -1), repeat=3)
    ]
