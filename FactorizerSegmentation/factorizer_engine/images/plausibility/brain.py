"""What is known of MR scans of one brain: skull, sequences, place and posture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations

import numpy as np

from factorizer_engine.images.plausibility.alignment import displacement
from factorizer_engine.images.plausibility.posture import known_outlines
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

#: From left to right, from front to back and from foot to head no head is smaller, in mm.
SMALLEST_EXTENT = {"from left to right": 90.0, "from front to back": 110.0, "in height": 70.0}

#: Gain in log likelihood from which another order of the scans is believed.
SWAPPED = 1.5

#: Squared distance from all that such pairs of scans look like, from which a scan is strange.
STRANGE = 95.0

#: The same, if the other scans are this many times less strange.
STRANGER, TIMES_STRANGER = 65.0, 4.5

#: Scans of one brain lie less far apart than this, in mm.
APART = 3.0


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
    misplaced = [*_misplaced(usable, brains), *_lying(usable, stripped)]
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
    return [
        Finding(
            (name,),
            AMBER,
            f"What {name} shows {size}, which no head has; check the voxel size, and whether it "
            "shows the whole head.",
        )
        for name, sketch in sketches.items()
        if (size := _odd_size(sketch))
    ]


def _odd_size(sketch: Sketch) -> str:
    """What no head has about a size, or ""."""
    low, high = HEAD_VOLUME
    if not low <= sketch.volume_ml <= high:
        return f"has {sketch.volume_ml:.0f} mL"
    extents = [np.ptp(line) + 1 for line in np.nonzero(sketch.mask)] * sketch.spacing
    for (where, least), extent in zip(SMALLEST_EXTENT.items(), extents, strict=True):
        if extent < least:
            return f"has {extent / 10:.0f} cm {where}"
    return ""


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


def _misplaced(sketches: Mapping[str, Sketch], brains: Mapping[str, np.ndarray]) -> list[Finding]:
    """Scans that do not lie on the others as scans of one brain do."""
    apart: dict[tuple[str, str], float] = {}

    def distance(first: str, second: str) -> float:
        if (first, second) not in apart:
            one, other = sketches[first], sketches[second]
            both = brains[first] & brains[second]
            found = displacement(one.array, other.array, both, one.spacing)
            apart[first, second] = apart[second, first] = APART if found is None else found
        return apart[first, second]

    groups = _together(list(sketches), lambda first, second: distance(first, second) < APART)
    if len(groups) < 2:
        return []
    main = max(groups, key=len)
    alone = len(main) == 1
    wrong = tuple(name for name in sketches if alone or name not in main)
    away = np.median([distance(name, other) for name in wrong for other in main if name != other])
    names = "The scans" if alone else " and ".join(wrong)
    verb = "does" if len(wrong) == 1 else "do"
    sentence = (
        f"{names} {verb} not lie on {'each other' if alone else 'the other scans'} (about "
        f"{away:.0f} mm apart): moved, turned or of another patient; choose scans of one study, or "
        "register them first."
    )
    return [Finding(wrong, AMBER, sentence, by_preparation=True)]


def _together(names: list[str], linked: Callable[[str, str], bool]) -> list[list[str]]:
    """Names in groups, of which each is linked with another one of its group."""
    groups: list[list[str]] = []
    for name in names:
        joined = [group for group in groups if any(linked(name, other) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([other for group in joined for other in group] + [name])
    return groups


def _lying(sketches: Mapping[str, Sketch], stripped: Mapping[str, bool]) -> list[Finding]:
    """Heads that lie as no head does by the file."""
    outlines = known_outlines()
    wrong = tuple(
        name
        for name, sketch in sketches.items()
        if not outlines.is_upright(sketch.mask, stripped[name])
    )
    if not wrong:
        return []
    sentence = (
        f"The head in {' and '.join(wrong)} is turned: left, front and top of the file are not "
        "those of the head; correct the orientation."
    )
    return [Finding(wrong, AMBER, sentence)]


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
    negative_gain, negative = model.likelier_negative(given, pairs)
    if max(gain, negative_gain) > SWAPPED:
        return [_exchanged(given, best) if gain > negative_gain else _negative(negative, given)]
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


def _exchanged(given: Mapping[str, str], best: Mapping[str, str]) -> Finding:
    moved = tuple(name for name in given if best[name] != given[name])
    seen = ", ".join(f"the {name} row looks like {best[name]}" for name in moved)
    sentence = f"Scans seem to be exchanged: {seen}; choose the right scan for each row."
    return Finding(moved, AMBER, sentence)


def _negative(name: str, given: Mapping[str, str]) -> Finding:
    sentence = (
        f"{name} looks like a negative of {given[name]} (bright where that is dark); choose the "
        "scan itself."
    )
    return Finding((name,), AMBER, sentence)


def _is_strange(distance: float, others: list[float]) -> bool:
    """Whether a scan is strange by itself, or beside others that are not."""
    beside = len(others) > 1 and distance > TIMES_STRANGER * float(np.median(others))
    return distance > STRANGE or (distance > STRANGER and beside)
