"""Two or more studies of one patient, put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.enhancement import enhancing_labels
from factorizer_engine.lesions.follow_up.matching import match_lesions
from factorizer_engine.lesions.follow_up.response import is_measurable, response, time_point
from factorizer_engine.lesions.measuring import lesion_numbers
from factorizer_engine.protocol.follow_up import NEW, LesionChange, Response, TimePoint
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Label


@dataclass(frozen=True, eq=False)
class MeasuredStudy:
    """One study, measured.

    Attributes:
        name: What to call it, such as its date.
        scan: The scan that was segmented.
        labelmap: Its segmentation.
        labels: What the values mean.
        lesions: What was found in it, in the order of `find_lesions`, with any numbers.
    """

    name: str
    scan: Scan
    labelmap: Scan
    labels: Sequence[Label]
    lesions: Sequence[Lesion]

    @property
    def numbers(self) -> Scan:
        """The voxels of every lesion, as its id."""
        ids = [lesion.id for lesion in self.lesions]
        return lesion_numbers(self.labelmap, self.labels, ids)


@dataclass(frozen=True)
class Comparison:
    """What has changed.

    Attributes:
        points: What the lesions of every study add up to, the oldest first.
        changes: What became of every lesion between the last two.
        response: What RANO's sums allow to say of the last one.
    """

    points: tuple[TimePoint, ...]
    changes: tuple[LesionChange, ...]
    response: Response


def compare_studies(studies: Sequence[MeasuredStudy], to_last: np.ndarray) -> Comparison:
    """Compare studies of one patient.

    Args:
        studies: Two or more, the oldest first.
        to_last: 4x4, from the world of the last but one to that of the last, mm RAS.
    """
    *_, before, after = studies
    changes = match_lesions(
        (before.numbers, before.lesions), (after.numbers, after.lesions), to_last
    )
    points = tuple(time_point(item.name, item.lesions, item.labels) for item in studies)
    values = enhancing_labels(after.labels)
    parts = {lesion.id: [p for p in lesion.parts if p.label in values] for lesion in after.lesions}
    has_new = any(
        is_measurable(part)
        for change in changes
        if change.kind == NEW
        for number in change.after
        for part in parts[number]
    )
    return Comparison(points, tuple(changes), response(points, has_new, any(parts.values())))
