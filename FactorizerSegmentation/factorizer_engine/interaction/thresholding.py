"""A click answered by the probabilities that are there already: a threshold of its own around it.

A model that never learned clicks still knows more than its threshold says: what it missed often has
a probability above that of healthy tissue, and what it found too much of one below that of the
lesion. A click therefore moves the threshold around it, most at its own place and less with the
distance, and what is connected to the click then changes sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np

from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.inference.windows import Box
from factorizer_engine.protocol.triples import triple


@dataclass(frozen=True)
class LocalThreshold:
    """How far a click moves the threshold.

    People click in the middle of what is wrong, so how far the click lies from what is right
    already tells how large the error may be, and how far the threshold should be moved around it.

    Attributes:
        margin: Logits that the click's own place gets beyond the threshold.
        widening: Standard deviation of the Gaussian with which that fades, by the distance of the
            click to the nearest voxel that is as the click wants it.
        sigma_mm: The least and the largest standard deviation.
        reach_mm: Distance from the click beyond which nothing changes.
    """

    margin: float = 1.5
    widening: float = 3.0
    sigma_mm: tuple[float, float] = (3.0, 16.0)
    reach_mm: float = 40.0


_SIGMAS = 2.5


def box_around(
    points: np.ndarray, reach_mm: float, spacing: Sequence[float], shape: Sequence[int]
) -> Box:
    """The block of a volume with all voxels up to `reach_mm` from points (N, 3) in voxels."""
    reach = np.asarray(reach_mm) / np.asarray(spacing)
    low = np.clip(np.floor(points.min(axis=0) - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + reach) + 1, low, shape).astype(int)
    return triple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def moved_by_click(
    logits: np.ndarray,
    mask: np.ndarray,
    places: np.ndarray,
    distance: np.ndarray,
    add: bool,
    is_nearest: Callable[[Box], np.ndarray],
    settings: LocalThreshold,
) -> np.ndarray:
    """What a click changes: voxels that are connected to it and beyond the threshold it moved.

    With d the distance to the click, logits are raised (or lowered) by `b exp(-d^2 / 2 sigma^2)`,
    where b takes those of the clicked voxels to `margin` beyond the threshold.

    Args:
        logits: (X, Y, Z) of the region, less that of its threshold, so that it holds above 0.
        mask: Booleans: where the region holds now.
        places: The clicked voxels (N, 3).
        distance: To the click, in mm.
        add: Whether the click adds to the region.
        is_nearest: Of a part, which voxels are nearer to this click than to those that want the
            opposite, booleans; others do not change.
        settings: How far the threshold is moved.

    Returns:
        Booleans (X, Y, Z): voxels to be changed, connected (6 neighbours) to the clicked ones,
        which are among them unless they are as the click wants them already.
    """
    clicked = tuple(places.T)
    towards = logits if add else -logits
    shift = max(-float(towards[clicked].min()), 0.0) + settings.margin
    sigma = widened(float(distance[mask == add].min(initial=np.inf)), settings)
    within = distance <= reach(sigma, settings)
    changes = (towards + shift * faded(distance, sigma) > 0) & within
    at_click = np.zeros(mask.shape, dtype=bool)
    changes[clicked] = at_click[clicked] = True
    changes &= mask != add
    part = foreground_box([changes], margin=0)
    if part is not None:
        pieces = cc3d.connected_components(changes[part] & is_nearest(part), connectivity=6)
        touched = np.unique(pieces[at_click[part]])
        changes[part] = np.isin(pieces, touched[touched > 0])
    return changes


def widened(depth: float, settings: LocalThreshold) -> float:
    """The standard deviation (mm) for a click so far (mm) from what is right already."""
    least, largest = settings.sigma_mm
    return float(np.clip(settings.widening * depth, least, largest))


def faded(distance: np.ndarray, sigma: float) -> np.ndarray:
    """The part of a click's shift that is left so far (mm) from it."""
    return np.exp(distance**2 / np.float32(-2 * sigma**2))


def reach(sigma: float, settings: LocalThreshold) -> float:
    """Distance (mm) from a click up to which voxels may change."""
    return min(_SIGMAS * sigma, settings.reach_mm)
