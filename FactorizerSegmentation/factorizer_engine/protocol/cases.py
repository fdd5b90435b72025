"""Whether scans are of one patient and one date, as far as names tell. Standard library only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

_PATIENT = re.compile(r"(sub|subject|subj|patient|pat|pid)(\d*)")
_SESSION = re.compile(r"(ses|session|visit|timepoint)(\d*)")
_DAY = re.compile(r"((?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(\d{4}|\d{6})?")
"""A day, and the time of day that converters of DICOM put behind it."""

_OF_ANY_SCAN = frozenset(
    "ax axial tra trans transverse transversal sag sagittal cor coronal obl oblique 2d 3d iso mr "
    "mri brain head neuro skull tumor tumour ce gd km pre post native nativ contrast se tse fse ir "
    "tirm tir gre spgr fspgr mprage space cube vibe flash blade propeller ep2d diff fs fatsat dark "
    "fluid scan image img vol volume series study reg coreg registered resampled stripped bet n4 "
    "bias corrected norm normalized orig original raw final nii converted".split()
)
"""Words that tell how or what was scanned, or what was done to it since, not whom."""

_SHORT = re.compile(r"\d{1,4}")


def mixed_cases(
    names: Mapping[str, Sequence[str]], is_sequence: Callable[[str], bool]
) -> tuple[str, str, str] | None:
    """Two of the names that speak of different patients or dates, and of which of these.

    Patients and sessions are told by words such as "sub-01" and "ses-2", dates by their digits, and
    both by what stands before the sequence: either several scans share it, or all hold a number. A
    folder "patient" tells of nobody: what stands behind the word is how or what was scanned.

    Args:
        names: Name to its words, in lower case.
        is_sequence: Whether a word names a sequence.
    """
    patients = partial(_entities, _PATIENT, is_sequence)
    sessions = partial(_entities, _SESSION, is_sequence)
    for what, read in (("patients", patients), ("dates", sessions), ("dates", _days)):
        told = {name: found for name, words in names.items() if (found := read(words))}
        for first, second in combinations(told, 2):
            if not told[first] & told[second]:
                return first, second, what
    titles = {n: t for n, words in names.items() if (t := _title(words, is_sequence))}
    shared = any(count > 1 for count in Counter(titles.values()).values())
    stripped = {n: tuple(w for w in t if not _SHORT.fullmatch(w)) for n, t in titles.items()}
    numbered = all(re.search(r"\d", "".join(title)) for title in stripped.values())
    compared = titles if shared else stripped if numbered else {}
    for first, second in combinations(compared, 2):
        if compared[first] != compared[second]:
            return first, second, "patients or dates"
    return None


def _entities(
    pattern: re.Pattern, is_sequence: Callable[[str], bool], words: Sequence[str]
) -> set[str]:
    """What stands behind words such as "sub", in "sub-01" as well as in "sub01"."""
    found = set()
    for index, word in enumerate(words):
        match = pattern.fullmatch(word)
        if match is None:
            continue
        following = words[index + 1] if index + 1 < len(words) else ""
        if match.group(2):
            found.add(match.group(2))
        elif following and not (following in _OF_ANY_SCAN or is_sequence(following)):
            found.add(following)
    return found


def _days(words: Sequence[str]) -> set[str]:
    parted = ("".join(words[i : i + 3]) for i in range(len(words) - 2) if len(words[i]) == 4)
    return {match.group(1) for word in (*words, *parted) if (match := _DAY.fullmatch(word))}


def _title(words: Sequence[str], is_sequence: Callable[[str], bool]) -> tuple[str, ...]:
    """The words before the sequence that are not about scanning."""
    title: list[str] = []
    for word in words:
        if is_sequence(word):
            return tuple(title)
        if word not in _OF_ANY_SCAN:
            title.append(word)
    return ()
