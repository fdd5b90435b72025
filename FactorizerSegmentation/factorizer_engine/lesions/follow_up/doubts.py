"""Whether studies are what a comparison takes them for: different ones of one patient, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


def doubts_about(studies: Sequence[tuple[str, Scan, str]]) -> Iterator[str]:
    """What is to be doubted about a comparison of studies, as far as their files tell.

    Args:
        studies: What each is called, its scan, and which model of which version has drawn its
            segments, or ""; the oldest first.

    Raises:
        BadInputError: If one scan is there twice.
    """
    for (name, scan, _), (other_name, other, _) in combinations(studies, 2):
        if np.array_equal(scan.array, other.array):
            raise BadInputError(
                f"{name} and {other_name} are results of one and the same scan; compare those of "
                "different studies."
            )
        if _differ(scan.origin.patient, other.origin.patient):
            yield f"The scans of {name} and {other_name} are of different patients by their files."
    for (name, scan, model), (later_name, later, other_model) in pairwise(studies):
        before, after = scan.origin.date, later.origin.date
        if before and before == after:
            yield f"The scans of {name} and {later_name} are of one day, and may be of one study."
        elif _differ(before, after) and after < before:
            yield (
                f"The scan of {later_name} is older than that of {name} by their files; the oldest "
                "study has to come first."
            )
        if _differ(model, other_model):
            yield (
                f"{name} was segmented by {model} and {later_name} by {other_model}, so some of "
                "the change may be theirs."
            )


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
