"""A click answered by a logistic regression: what clicks of this kind have meant elsewhere.

A click tells more than that its own voxel is wrong. How far it lies from what is right already says
how large the error may be; what looks alike in the scans is likely wrong as well, and what looks
like the rest of the region, or is nearly probable enough, more so. How much each of these counts
was fitted to simulated clicks on gliomas that the model had not been trained on (docs/evidence.md).

The geometry is that of a user who clicks in the middle of an error, as in RITM (Sofiiuk et al.,
arXiv:2102.06583, section 4). Whether a voxel is more like the region or like what lies around it is
told by two Gaussians, one for each, as in interactive graph cuts (Boykov and Jolly, ICCV 2001,
section 2, regional term).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from factorizer_engine.interaction.thresholding import LocalThreshold, faded, widened

WEIGHTS = {
    "constant": -0.24,
    "towards": 0.049,
    "towards at the click": -0.316,
    "moved": 0.402,
    "nearness": 1.259,
    "distance": -0.059,
    "depth": 0.488,
    "relative distance": 0.194,
    "gap": -0.527,
    "difference": -0.813,
    "likeness": 0.857,
    "likeness of the click": -0.378,
    "adds": -0.206,
}
"""Of the features of `features`, in their order, in log-odds by unit."""

_MOVED = LocalThreshold()
"""How far a threshold would be moved, which is one of the features."""

_MOST_LOGITS = 9.0
_MOST_MM = 30.0
_MOST_DEPTHS = 12.0
_MOST_LIKELY = 4.0
"""Where features are cut off."""

_AROUND_MM = 8.0
"""What lies around a region: voxels up to this far from it."""

_ENOUGH = 30
"""Voxels that an appearance is learned from, at least."""

_LEAST_DEVIATION = 0.15
"""Added to the standard deviation of an appearance, in deviations of the scan."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known around a click.

    Attributes:
        towards: (X, Y, Z), logits of what the click wants, 0 at the threshold.
        settled: Booleans: voxels that are as the click wants them already.
        found: Booleans: voxels of the region as the model found it, before any click.
        distance: To the click, in mm.
        places: The clicked voxels (N, 3).
        scans: (C, X, Y, Z), each with mean 0 and deviation 1 over the head; 0 outside it.
        add: Whether the click adds to the region.
        spacing: Voxel size in mm.
    """

    towards: np.ndarray
    settled: np.ndarray
    found: np.ndarray
    distance: np.ndarray
    places: np.ndarray
    scans: np.ndarray
    add: bool
    spacing: tuple[float, float, float]

    @property
    def depth(self) -> float:
        """Distance (mm) from the click to the nearest voxel that is settled."""
        return float(self.distance[self.settled].min(initial=_MOST_MM))


def log_odds(around: Surroundings, voxels: np.ndarray) -> np.ndarray:
    """How surely some voxels (booleans, X, Y, Z) should be as the click wants; float32 (M,)."""
    weights = np.array(list(WEIGHTS.values()), dtype=np.float32)
    return features(around, voxels) @ weights


def features(around: Surroundings, voxels: np.ndarray) -> np.ndarray:
    """What the regression knows of voxels.

    Args:
        around: The click and what is around it.
        voxels: Booleans (X, Y, Z), M of them true.

    Returns:
        float32 (M, 13), in the order of `WEIGHTS`.
    """
    clicked, depth = tuple(around.places.T), around.depth
    towards = np.clip(around.towards, -_MOST_LOGITS, _MOST_LOGITS)
    at_click = float(towards[clicked].min())
    own, distance = towards[voxels], around.distance[voxels]
    nearness = faded(distance, widened(depth, _MOVED))
    moved = own + nearness * (max(-at_click, 0.0) + _MOVED.margin)
    gap = np.full(len(own), _MOST_MM, dtype=np.float32)
    if around.settled.any():
        away = ndimage.distance_transform_edt(~around.settled, sampling=around.spacing)
        gap = np.minimum(away[voxels], _MOST_MM)
    seen, (first, second, third) = around.scans[:, voxels], around.places.T
    mean = around.scans[:, first, second, third].mean(axis=1, keepdims=True)
    difference = np.sqrt(((seen - mean) ** 2).mean(axis=0))
    likeness = _likeness(around, np.concatenate([seen, mean], axis=1))
    columns = np.broadcast_arrays(
        *(np.float32(1), own, at_click, moved, nearness, distance, depth),
        np.minimum(distance / max(depth, 0.7), _MOST_DEPTHS),
        *(gap, difference, likeness[:-1], likeness[-1], np.float32(around.add)),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _likeness(around: Surroundings, seen: np.ndarray) -> np.ndarray:
    """Mean log-likelihood ratio over scans that what is seen (C, M) is of the side that is wanted.

    The sides are the region as it was found and what lies around it; 0 where one of them is too
    small to be learned from.
    """
    found = around.found
    shell = ~found & (around.scans != 0).any(axis=0)
    if found.any():
        shell &= ndimage.distance_transform_edt(~found, sampling=around.spacing) <= _AROUND_MM
    if found.sum() < _ENOUGH or shell.sum() < _ENOUGH:
        return np.zeros(seen.shape[1], dtype=np.float32)
    ratio = _log_likelihood(seen, around.scans[:, found])
    ratio -= _log_likelihood(seen, around.scans[:, shell])
    return np.clip(ratio if around.add else -ratio, -_MOST_LIKELY, _MOST_LIKELY)


def _log_likelihood(seen: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Mean over scans of the log density of `seen` (C, M) where `samples` (C, N) come from."""
    mean = samples.mean(axis=1, keepdims=True)
    deviation = samples.std(axis=1, keepdims=True) + _LEAST_DEVIATION
    return (-0.5 * ((seen - mean) / deviation) ** 2 - np.log(deviation)).mean(axis=0)
