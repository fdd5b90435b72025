"""What scans give away beside each other, whatever they show."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from factorizer_engine.images.plausibility.sketch import Sketch
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.checks import AMBER, GREEN, RED, Finding

_ONE = (
    ("patient", "patients", "choose scans of one"),
    ("date", "dates", "choose scans of one"),
    (
        "frame",
        "frames of reference, so that it is unknown how they lie to each other",
        "choose scans of one, or register them first",
    ),
)
"""Of what scans have to have one only; what to call it, and what to do."""

#: Scans that correlate this well are one image, or one made of the other by smoothing, sampling
#: it anew or changing its scale; two sequences of 38 studies stay below 0.95.
SAME, NEARLY_SAME = 0.9995, 0.97

#: Part of what the scans show together that each has to show.
ENOUGH, ALMOST_NOTHING = 0.85, 0.3

#: Ratio of voxel volumes from which a scan is much coarser than another.
COARSER = 30.0


def of_several(scans: Mapping[str, Scan]) -> list[Finding]:
    """Scans of several patients, dates or frames of reference, as far as their files tell."""
    for field, what, advice in _ONE:
        told = {n: own for n, scan in scans.items() if (own := getattr(scan.origin, field))}
        first, *others = told or [""]
        strangers = tuple(name for name in others if told[name] != told[first])
        if strangers:
            sentence = f"{' and '.join((first, *strangers))} are of different {what}; {advice}."
            return [Finding((first, *strangers), AMBER, sentence, asks=True)]
    return []


def moved(scans: Mapping[str, Scan]) -> list[Finding]:
    """Scans that a transform moves, where it does not move all of them."""
    by = {name: scan.origin.transform for name, scan in scans.items()}
    if len(set(by.values())) < 2:
        return []
    return [
        Finding((name,), GREEN, f"{name} is moved by the transform '{transform}'.")
        for name, transform in by.items()
        if transform
    ]


def given_twice(sketches: Mapping[str, Sketch]) -> list[Finding]:
    """Scans that are one image, also where one is the other times a factor, or nearly one."""
    found = []
    for first, second in combinations(sketches, 2):
        one, other = sketches[first], sketches[second]
        both = (one.mask | other.mask) & one.covered & other.covered
        if both.sum() < 100:
            continue
        a, b = one.array[both], other.array[both]
        alike = np.corrcoef(a, b)[0, 1] if a.std() > 0 and b.std() > 0 else 0.0
        if alike > NEARLY_SAME:
            how, severity = ("the same", RED) if alike > SAME else ("nearly the same", AMBER)
            sentence = f"{first} and {second} are {how} image; choose the right scan for each."
            found.append(Finding((first, second), severity, sentence))
    return found


def left_out(scans: Mapping[str, Scan], sketches: Mapping[str, Sketch]) -> list[Finding]:
    """Scans that show little of what the others show, or show it much more coarsely."""
    return [*_partial(sketches), *_coarse(scans)]


def _partial(sketches: Mapping[str, Sketch]) -> list[Finding]:
    """What a scan leaves out of that which any other shows."""
    shown = np.any([sketch.mask for sketch in sketches.values()], axis=0)
    found = []
    for name, sketch in sketches.items():
        part = (sketch.mask & shown).sum() / max(1, shown.sum())
        seen = (sketch.covered & shown).sum() / max(1, shown.sum())
        if min(part + 0.15, seen) >= ENOUGH:
            continue
        covered = min(part, seen)
        sentence = (
            f"{name} shows only {100 * covered:.0f} % of what the other scans show; what it "
            "leaves out is segmented badly: choose a scan of the whole, or run inside a box."
        )
        found.append(Finding((name,), RED if covered < ALMOST_NOTHING else AMBER, sentence))
    return found


def _coarse(scans: Mapping[str, Scan]) -> list[Finding]:
    volumes = {name: scan.grid.voxel_ml for name, scan in scans.items()}
    finest = min(volumes, key=lambda name: volumes[name])
    return [
        Finding(
            (name,),
            AMBER,
            f"The voxels of {name} are {volume / volumes[finest]:.0f} times as large as those of "
            f"{finest}; choose a finer {name} if there is one.",
        )
        for name, volume in volumes.items()
        if volume > COARSER * volumes[finest]
    ]
