"""Whether studies are what a comparison takes them for: different ones of one patient, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


class ToldStudy(NamedTuple):
    """A study, as far as it can be doubted.

    Attributes:
        name: What it is called.
        scan: The scan that was segmented.
        model: Which model of which version has drawn the segments, or "".
        thresholds: From which probabilities and volumes on they were drawn, or "".
    """

    name: str
    scan: Scan
    model: str = ""
    thresholds: str = ""


def doubts_about(studies: Sequence[ToldStudy]) -> Iterator[str]:
    """What is to be doubted about a comparison of studies, as far as their files tell.

    Args:
        studies: The oldest first.

    Raises:
        BadInputError: If one scan is there twice.
    """
    for one, other in combinations(studies, 2):
        if np.array_equal(one.scan.array, other.scan.array):
            raise BadInputError(
                f"{one.name} and {other.name} are results of one and the same scan; compare those "
                "of different studies."
            )
        if _differ(one.scan.origin.patient, other.scan.origin.patient):
            yield (
                f"The scans of {one.name} and {other.name} are of different patients by their "
                "files."
            )
    for earlier, later in pairwise(studies):
        before, after = earlier.scan.origin.date, later.scan.origin.date
        if before and before == after:
            yield (
                f"The scans of {earlier.name} and {later.name} are of one day, and may be of one "
                "study."
            )
        elif _differ(before, after) and after < before:
            yield (
                f"The scan of {later.name} is older than that of {earlier.name} by their files; "
                "the oldest study has to come first."
            )
        if _differ(earlier.model, later.model):
            yield (
                f"{earlier.name} was segmented by {earlier.model} and {later.name} by "
                f"{later.model}, so some of the change may be theirs."
            )
        elif _differ(earlier.thresholds, later.thresholds):
            yield (
                f"The thresholds of {earlier.name} ({earlier.thresholds}) are others than those of "
                f"{later.name} ({later.thresholds}), so some of the change may be theirs."
            )


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
