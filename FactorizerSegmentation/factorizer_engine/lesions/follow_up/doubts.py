"""Whether studies are what a comparison takes them for: different ones of one patient, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


def doubts_about(scans: Sequence[tuple[str, Scan]]) -> Iterator[str]:
    """What is to be doubted about the studies of these scans, as far as their files tell.

    Args:
        scans: What each study is called, and its scan, the oldest first.

    Raises:
        BadInputError: If one scan is there twice.
    """
    for (name, scan), (other_name, other) in combinations(scans, 2):
        if np.array_equal(scan.array, other.array):
            raise BadInputError(
                f"{name} and {other_name} are results of one and the same scan; compare those of "
                "different studies."
            )
        if _differ(scan.origin.patient, other.origin.patient):
            yield f"The scans of {name} and {other_name} are of different patients by their files."
    for (name, scan), (later_name, later) in pairwise(scans):
        before, after = scan.origin.date, later.origin.date
        if before and before == after:
            yield f"The scans of {name} and {later_name} are of one day, and may be of one study."
        elif _differ(before, after) and after < before:
            yield (
                f"The scan of {later_name} is older than that of {name} by their files; the oldest "
                "study has to come first."
            )


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
