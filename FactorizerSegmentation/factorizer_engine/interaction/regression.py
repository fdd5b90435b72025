"""A click answered by a logistic regression: what clicks of this kind have meant elsewhere.

A click tells more than that its own voxel is wrong. How far it lies from what is right already says
how large the error may be; what looks alike in the scans is likely wrong as well, and what looks
like the rest of the region, or is nearly probable enough, more so. How much each of these counts
was fitted to simulated clicks (docs/evidence.md): for the maps of a run on gliomas that the model
had not been trained on, for a network that is told of clicks on single sequences.

The geometry is that of a user who clicks in the middle of an error, as in RITM (Sofiiuk et al.,
arXiv:2102.06583, section 4). Whether a voxel is more like the region or like what lies around it is
told by two Gaussians, one for each, as in interactive graph cuts (Boykov and Jolly, ICCV 2001,
section 2, regional term).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.distances import distance_to
from factorizer_engine.interaction.thresholding import LocalThreshold, faded, widened

MAPS: Mapping[str, float] = {
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
"""Of features, in log-odds by unit, where the maps of a run say how probable the region is."""

NETWORK_ADDS: Mapping[str, float] = {
    "constant": 0.24,
    "towards": 0.729,
    "towards at the click": -0.172,
    "depth": 0.115,
    "relative distance": -0.281,
    "gap": -0.064,
    "difference": -0.776,
    "contrast": 0.395,
    "likeness": 0.191,
    "likeness of the click": -0.163,
    "unlike the opposite": 1.169,
    "nothing yet": -1.59,
}
"""The same where a network says it that was told of the click, for clicks that add."""

NETWORK_REMOVES: Mapping[str, float] = {
    "constant": 0.924,
    "towards": 0.795,
    "towards at the click": -0.247,
    "depth": 0.257,
    "relative distance": -0.141,
    "gap": -0.225,
    "difference": -1.181,
    "contrast": 0.387,
    "likeness": 0.592,
    "likeness of the click": -0.245,
    "unlike the opposite": 1.085,
}
"""The same for clicks that remove."""

_MOVED = LocalThreshold()
"""How far a threshold would be moved, which is one of the features."""

_MOST_LOGITS = 9.0
_MOST_MM = 30.0
_MOST_DEPTHS = 12.0
_MOST_LIKELY = 4.0
_MOST_UNLIKE = 3.0
"""Where features are cut off."""

_UNLIKE = 1.5
"""How unlike a voxel is what was clicked to the opposite, as long as nothing was."""

_CLOSE_MM = 3.0
"""What lies up to this far from a click says nothing of what the click stands out from."""

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
        opposite: (C, N), what the scans show at earlier clicks that want the opposite.
    """

    towards: np.ndarray
    settled: np.ndarray
    found: np.ndarray
    distance: np.ndarray
    places: np.ndarray
    scans: np.ndarray
    add: bool
    spacing: tuple[float, float, float]
    opposite: np.ndarray

    @property
    def depth(self) -> float:
        """Distance (mm) from the click to the nearest voxel that is settled."""
        return float(self.distance[self.settled].min(initial=_MOST_MM))


def log_odds(around: Surroundings, voxels: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
    """How surely some voxels (booleans, X, Y, Z) should be as the click wants; float32 (M,)."""
    found = features(around, voxels)
    return np.stack([found[name] for name in weights], axis=1) @ np.array(
        [*weights.values()], dtype=np.float32
    )


def features(around: Surroundings, voxels: np.ndarray) -> dict[str, np.ndarray]:
    """What a regression may know of voxels.

    Args:
        around: The click and what is around it.
        voxels: Booleans (X, Y, Z), M of them true.

    Returns:
        float32 (M,) each, by name.
    """
    depth, distance = around.depth, around.distance[voxels]
    gap = np.minimum(distance_to(around.settled, around.spacing)[voxels], _MOST_MM)
    found = {
        "constant": np.float32(1),
        **_by_probability(around, voxels),
        "distance": distance,
        "depth": np.float32(depth),
        "relative distance": np.minimum(distance / max(depth, 0.7), _MOST_DEPTHS),
        "gap": gap,
        **_by_scans(around, voxels),
        "adds": np.float32(around.add),
        "nothing yet": np.float32(around.add and not around.settled.any()),
    }
    return {
        name: np.broadcast_to(np.asarray(values, np.float32), distance.shape)
        for name, values in found.items()
    }


def _by_probability(around: Surroundings, voxels: np.ndarray) -> dict[str, np.ndarray]:
    towards = np.clip(around.towards, -_MOST_LOGITS, _MOST_LOGITS)
    at_click, own = towards[tuple(around.places.T)].min(), towards[voxels]
    nearness = faded(around.distance[voxels], widened(around.depth, _MOVED))
    moved = own + nearness * (max(-at_click, 0.0) + _MOVED.margin)
    return {
        "towards": own,
        "towards at the click": at_click,
        "moved": moved,
        "nearness": nearness,
    }


def _by_scans(around: Surroundings, voxels: np.ndarray) -> dict[str, np.ndarray]:
    seen, (first, second, third) = around.scans[:, voxels], around.places.T
    clicked = around.scans[:, first, second, third].mean(axis=1, keepdims=True)
    likeness = _likeness(around, np.concatenate([seen, clicked], axis=1))
    unlike = [_difference(seen, other[:, None]) for other in around.opposite.T]
    return {
        "difference": _difference(seen, clicked),
        "contrast": np.sqrt(((clicked[:, 0] - _rest(around)) ** 2).sum()),
        "likeness": likeness[:-1],
        "likeness of the click": likeness[-1],
        "unlike the opposite": np.clip(np.min(unlike, axis=0), 0, _MOST_UNLIKE)
        if unlike
        else np.float32(_UNLIKE),
    }


def _difference(seen: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Root mean square over scans (C, M) of how far they are from others (C, 1)."""
    return np.sqrt(((seen - other) ** 2).mean(axis=0))


def _rest(around: Surroundings) -> np.ndarray:
    """What the scans show (C,) where the click wants a change, but not close to it: the median."""
    head = (around.scans != 0).any(axis=0) & (around.distance > _CLOSE_MM)
    rest = head & ~around.settled
    rest = rest if rest.sum() >= _ENOUGH else head
    if not rest.any():
        return np.zeros(len(around.scans), dtype=np.float32)
    return np.median(around.scans[:, rest], axis=1)


def _likeness(around: Surroundings, seen: np.ndarray) -> np.ndarray:
    """Mean log-likelihood ratio over scans that what is seen (C, M) is of the side that is wanted.

    The sides are the region as it was found and what lies around it; 0 where one of them is too
    small to be learned from.
    """
    found = around.found
    shell = ~found & (around.scans != 0).any(axis=0)
    shell &= distance_to(found, around.spacing) <= _AROUND_MM
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
