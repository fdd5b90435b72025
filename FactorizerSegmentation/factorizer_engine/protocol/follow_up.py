"""What became of lesions between two studies, as everybody speaks of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.wording import rounded

NEW, GROWN, STABLE, SHRUNK, GONE = "new", "grown", "stable", "shrunk", "gone"
KINDS = (NEW, GROWN, STABLE, SHRUNK, GONE)
CHANGE = 0.3
"""Part of its volume by which a lesion must change to have grown or shrunk."""

COMPLETE, PARTIAL, UNCHANGED, PROGRESSION = (
    "complete response",
    "partial response",
    "stable disease",
    "progressive disease",
)


@dataclass(frozen=True)
class LesionChange(Message):
    """What became of a lesion, or of several that have merged or were split.

    Attributes:
        kind: One of `KINDS`.
        before, after: Ids of the lesions in the earlier and in the later study.
        before_ml, after_ml: Their volumes.
        point: Where to look, RAS in mm in the world of the later study.
        place: Where in the head, in words.
        parts_before, parts_after: Volume in mL of every class in them, by its name.
    """

    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    before_ml: float
    after_ml: float
    point: tuple[float, float, float]
    place: tuple[str, ...]
    parts_before: dict[str, float]
    parts_after: dict[str, float]

    @property
    def change_ml(self) -> float:
        """By how much the volume has grown."""
        return self.after_ml - self.before_ml

    @property
    def change_percent(self) -> float:
        """The same in percent of the earlier volume; not a number for what is new."""
        return 100 * self.change_ml / self.before_ml if self.before_ml else math.nan

    @property
    def percent_told(self) -> str:
        """The same for people, "" for what is new.

        Rounding does not bring what is called stable to where it would have grown or shrunk.
        """
        percent = self.change_percent
        if math.isnan(percent):
            return ""
        if self.kind == STABLE and abs(round(percent)) >= 100 * CHANGE:
            return f"{math.trunc(10 * percent) / 10:+.1f}"
        return rounded(percent, 0, signed=True)


@dataclass(frozen=True)
class TimePoint(Message):
    """What all lesions of a study add up to.

    Attributes:
        name: What to call the study, such as its date.
        lesions: How many there are.
        volumes_ml: By class.
        enhancing_mm2: Sum of the products of both axes of the measurable enhancing lesions, as RANO
            takes it; not a number where the model does not tell what enhances.
        measurable: How many these are.
    """

    name: str
    lesions: int
    volumes_ml: dict[str, float]
    enhancing_mm2: float
    measurable: int

    @property
    def total_ml(self) -> float:
        """Volume of all classes."""
        return sum(self.volumes_ml.values())


@dataclass(frozen=True)
class Response(Message):
    """What RANO's sums say, without steroids, symptoms, and what does not enhance.

    Attributes:
        category: One of the four of this file, or "" where the sums do not allow one.
        reason: Why, in a sentence.
    """

    category: str
    reason: str


def count_kinds(changes: Sequence[LesionChange]) -> dict[str, int]:
    """How many changes of each kind there are."""
    return {kind: sum(change.kind == kind for change in changes) for kind in KINDS}
