"""What is known of MR scans of one brain: skull, sequences, place and posture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations

import numpy as np

from factorizer_engine.images.plausibility.sequences import known_sequences
from factorizer_engine.images.plausibility.sketch import Sketch
from factorizer_engine.images.plausibility.traits import compared, scan_traits
from factorizer_engine.protocol.checks import AMBER, Finding
from factorizer_engine.protocol.models import Expectations
from factorizer_engine.protocol.sequences import sequence_named

#: No brain is larger (mL), and no head with its skull smaller.
LARGEST_BRAIN = 2100.0

#: Volumes (mL) between which brains and heads lie.
HEAD_VOLUME = (500.0, 9000.0)

#: Gain in log likelihood from which another order of the scans is believed.
SWAPPED = 1.5

#: Squared distance from all that such pairs of scans look like, from which a scan is strange.
STRANGE = 95.0

#: The same, if the other scans are this many times less strange.
STRANGER, TIMES_STRANGER = 45.0, 4.5

#: Two masks of one brain, or head, have at least this Dice.
SAME_BRAIN = 0.95

#: Information that scans share in place, over what they share when one is moved a little.
SHARPNESS = 1.3

#: A brain is more symmetrical left to right than front to back, by this much of its mask's Dice.
ASYMMETRY = 0.02


def findings(
    sketches: Mapping[str, Sketch],
    expects: Expectations,
    odd: Collection[str],
    check_cancelled: Callable[[], None],
) -> list[Finding]:
    """What is odd about the scans of a brain.

    Args:
        sketches: Small copies by channel, in one place.
        expects: What the model was made for.
        odd: Channels that are known to be no MR scans.
        check_cancelled: Raises an error when the user has cancelled.
    """
    usable = {name: sketch for name, sketch in sketches.items() if name not in odd}
    usable = {name: sketch for name, sketch in usable.items() if sketch.mask.sum() > 500}
    found = [*_sizes(usable), *_skulls(usable, expects)]
    stripped = {name: is_stripped(sketch) for name, sketch in usable.items()}
    brains = {name: sketch.brain(stripped[name]) for name, sketch in usable.items()}
    check_cancelled()
    misplaced = [*_misplaced(usable, brains, stripped), *_lying(usable, stripped)]
    check_cancelled()
    return [*found, *misplaced, *_sequences(usable, brains)]


def is_stripped(sketch: Sketch) -> bool:
    """Whether only the brain is left of the head."""
    return sketch.background is not None and sketch.volume_ml <= LARGEST_BRAIN


def pair_traits(
    sketches: Mapping[str, Sketch], brains: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    """The traits of every two scans, in both orders, where they show the same brain."""
    own = {
        name: scan_traits(sketch.array, brains[name], sketch.spacing)
        for name, sketch in sketches.items()
    }
    pairs = {}
    for first, second in combinations(sketches, 2):
        both = brains[first] & brains[second]
        if both.sum() >= 500:
            arrays = sketches[first].array, sketches[second].array
            traits = compared(*arrays, (own[first], own[second]), both)
            pairs[first, second] = traits
            pairs[second, first] = np.append(-traits[:-1], traits[-1])
    return pairs


def _sizes(sketches: Mapping[str, Sketch]) -> list[Finding]:
    low, high = HEAD_VOLUME
    return [
        Finding(
            (name,),
            AMBER,
            f"What {name} shows has {sketch.volume_ml:.0f} mL, which no head has; check the voxel "
            "size, and whether it shows the whole head.",
        )
        for name, sketch in sketches.items()
        if not low <= sketch.volume_ml <= high
    ]


def _skulls(sketches: Mapping[str, Sketch], expects: Expectations) -> list[Finding]:
    if not expects.skull:
        return []
    wrong = [n for n, s in sketches.items() if is_stripped(s) != (expects.skull == "stripped")]
    if not wrong:
        return []
    names = " and ".join(wrong)
    if expects.skull == "stripped":
        sentence = (
            f"The skull is still in {names}, but the model was trained on brains without it and "
            "may find nothing; extract the brain first."
        )
    else:
        sentence = (
            f"The skull is missing in {names}, but the model was trained on whole heads; choose "
            "the original scans."
        )
    return [Finding(tuple(wrong), AMBER, sentence, by_preparation=expects.skull == "stripped")]


def _misplaced(
    sketches: Mapping[str, Sketch],
    brains: Mapping[str, np.ndarray],
    stripped: Mapping[str, bool],
) -> list[Finding]:
    """Scans that lie on none of the others as one brain lies on itself."""
    fits: dict[str, list[float]] = {name: [] for name in sketches}
    for first, second in combinations(sketches, 2):
        fit = sharpness(
            sketches[first].array, sketches[second].array, brains[first] & brains[second]
        )
        fit /= SHARPNESS
        if stripped[first] and stripped[second]:
            fit = min(fit, _dice(sketches[first].mask, sketches[second].mask) / SAME_BRAIN)
        fits[first].append(fit)
        fits[second].append(fit)
    wrong = tuple(name for name, values in fits.items() if values and max(values) < 1.0)
    if not wrong:
        return []
    names = " and ".join(wrong) if len(wrong) < len(sketches) else "The scans"
    verb = "does" if len(wrong) == 1 else "do"
    sentence = (
        f"{names} {verb} not lie on the other scans: another patient, another position or turned; "
        "choose scans of one study, or register them first."
    )
    return [Finding(wrong, AMBER, sentence, by_preparation=True)]


def sharpness(first: np.ndarray, second: np.ndarray, brain: np.ndarray) -> float:
    """Mutual information of two scans where they lie, over that after moves by two voxels.

    Well above 1 where they show the same anatomy in the same place.
    """
    if brain.sum() < 500:
        return 0.0
    a, b = _levels(first, brain), _levels(second, brain)
    moves = [(axis, step) for axis in range(3) for step in (-2, 2)]
    away = [_information(a, np.roll(b, step, axis), brain) for axis, step in moves]
    return _information(a, b, brain) / max(float(np.mean(away)), 1e-9)


def _levels(array: np.ndarray, brain: np.ndarray, count: int = 16) -> np.ndarray:
    """Intensities as `count` equally frequent levels."""
    edges = np.quantile(array[brain], np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, array)


def _information(a: np.ndarray, b: np.ndarray, brain: np.ndarray) -> float:
    """Mutual information in nats."""
    joint = np.bincount(a[brain] * 16 + b[brain], minlength=256).reshape(16, 16) / brain.sum()
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    used = joint > 0
    return float((joint[used] * np.log(joint[used] / expected[used])).sum())


def _lying(sketches: Mapping[str, Sketch], stripped: Mapping[str, bool]) -> list[Finding]:
    """Brains whose plane of symmetry is not that between left and right."""
    wrong = tuple(
        name for name, sketch in sketches.items() if stripped[name] and not is_upright(sketch.mask)
    )
    if not wrong:
        return []
    sentence = (
        f"The head in {' and '.join(wrong)} is turned: left and right of the file are not those of "
        "the head; correct the orientation."
    )
    return [Finding(wrong, AMBER, sentence)]


def is_upright(mask: np.ndarray) -> bool:
    """Whether a brain (X, Y, Z along R, A, S) is symmetrical left to right."""
    used = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    part = mask[tuple(slice(line[0], line[-1] + 1) for line in used)]
    mirrored = [_dice(part, np.flip(part, axis)) for axis in range(3)]
    return mirrored[0] >= max(mirrored[1:]) - ASYMMETRY


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def _sequences(sketches: Mapping[str, Sketch], brains: Mapping[str, np.ndarray]) -> list[Finding]:
    """Rows that seem to be exchanged, and scans that look like none of what is expected."""
    model = known_sequences()
    kinds = {name: sequence_named(name) or "" for name in sketches}
    rows = {name: sketches[name] for name, kind in kinds.items() if kind in model.sequences}
    pairs = pair_traits(rows, brains)
    rows = {n: s for n, s in rows.items() if all((n, o) in pairs for o in rows if o != n)}
    given = {name: kinds[name] for name in rows}
    if len(given) < 2:
        return []
    strange = {
        name: min(
            model.strangeness((given[name], given[other]), pairs[name, other])
            for other in given
            if other != name
        )
        for name in given
    }
    gain, best = model.likelier(given, pairs)
    if gain > SWAPPED:
        moved = tuple(name for name in given if best[name] != given[name])
        seen = ", ".join(f"the {name} row looks like {best[name]}" for name in moved)
        sentence = f"Scans seem to be exchanged: {seen}; choose the right scan for each row."
        return [Finding(moved, AMBER, sentence)]
    return [
        Finding(
            (name,),
            AMBER,
            f"{name} does not look like {given[name]} (its contrast is another); check which scan "
            "it is.",
        )
        for name, distance in strange.items()
        if _is_strange(distance, [d for other, d in strange.items() if other != name])
    ]


def _is_strange(distance: float, others: list[float]) -> bool:
    """Whether a scan is strange by itself, or beside others that are not."""
    beside = len(others) > 1 and distance > TIMES_STRANGER * float(np.median(others))
    return distance > STRANGE or (distance > STRANGER and beside)
