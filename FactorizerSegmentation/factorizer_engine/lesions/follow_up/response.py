"""RANO's sums of products, and which category they allow.

After Wen et al., J Clin Oncol 28:1963 (2010), table 4: progression by 25 % over the smallest sum
so far, or by a new lesion; partial response by 50 % below the baseline; complete when nothing
enhances. The criteria also want steroids, symptoms and what does not enhance, of which no sum
knows; so this is what the sums allow, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from factorizer_engine.lesions.enhancement import enhancing_labels
from factorizer_engine.protocol.follow_up import (
    COMPLETE,
    PARTIAL,
    PROGRESSION,
    UNCHANGED,
    Response,
    TimePoint,
)
from factorizer_engine.protocol.lesions import Lesion, Measures, volume_by_class
from factorizer_engine.protocol.models import Label

MEASURABLE_MM = 10.0
"""An enhancing lesion is measurable if both axes are at least as long."""
_ROUNDING_MM = 1e-6
"""Of lengths in the world, where 10 mm can come out as 9.999999999999998."""
MOST_LESIONS = 5
"""So many of the largest count."""
PROGRESS, RESPONSE = 1.25, 0.5


def is_measurable(part: Measures) -> bool:
    """Whether what enhances is large enough to be measured."""
    return part.short_axis.length_mm >= MEASURABLE_MM - _ROUNDING_MM


def time_point(name: str, lesions: Sequence[Lesion], labels: Sequence[Label]) -> TimePoint:
    """What the lesions of a study add up to.

    Args:
        labels: The classes of the model.
    """
    values = enhancing_labels(labels)
    products = sorted(
        (
            part.product_mm2
            for lesion in lesions
            for part in lesion.parts
            if part.label in values and is_measurable(part)
        ),
        reverse=True,
    )
    found = volume_by_class(lesions)
    return TimePoint(
        name=name,
        lesions=len(lesions),
        volumes_ml={label.name: found.get(label.name, 0.0) for label in labels},
        enhancing_mm2=sum(products[:MOST_LESIONS]) if values else math.nan,
        measurable=len(products),
    )


def response(points: Sequence[TimePoint], new_lesion: bool, enhancing_left: bool) -> Response:
    """The category of the last of several studies, the first of which is the baseline.

    Args:
        points: Two or more, the oldest first.
        new_lesion: Whether the last one has a measurable enhancing lesion where there was none.
        enhancing_left: Whether anything enhances in the last one, measurable or not.
    """
    sums = [point.enhancing_mm2 for point in points]
    if any(math.isnan(value) for value in sums):
        return Response("", "The model does not tell what enhances, which RANO measures.")
    baseline, smallest, last = sums[0], min(sums[:-1]), sums[-1]
    if new_lesion:
        return Response(PROGRESSION, "There is a new measurable enhancing lesion.")
    if not baseline:
        return Response("", "No enhancing lesion of the first study was measurable.")
    told = f"The sum of products went from {baseline:.0f} to {last:.0f} mm²"
    if last >= PROGRESS * smallest and last > smallest:
        more = f"{_percent(last - smallest, smallest)} over" if smallest else "with 0 mm² as"
        return Response(PROGRESSION, f"{told}, {more} the smallest.")
    if not enhancing_left:
        return Response(COMPLETE, "Nothing enhances any more.")
    if last <= RESPONSE * baseline:
        return Response(PARTIAL, f"{told}, by {_percent(baseline - last, baseline)}.")
    return Response(UNCHANGED, f"{told}, which is neither 25 % more nor 50 % less.")


def _percent(change: float, of: float) -> str:
    return f"{100 * change / of:.0f} %"
