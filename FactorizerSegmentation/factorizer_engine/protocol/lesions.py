"""Lesions, as everybody speaks of them: engine, wire, table, CSV and report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.triples import triple

LIKE = 0.7
"""Likeness below which a lesion is marked as a possible false alarm."""

RIGHT, LEFT, BOTH_SIDES = "right", "left", "both sides"
ANTERIOR, POSTERIOR, SUPERIOR, INFERIOR = "anterior", "posterior", "superior", "inferior"


@dataclass(frozen=True)
class Ruler(Message):
    """A straight line.

    Attributes:
        start, end: RAS in mm.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    @property
    def length_mm(self) -> float:
        """From one end to the other."""
        return math.dist(self.start, self.end)

    @property
    def middle(self) -> tuple[float, float, float]:
        """RAS in mm."""
        return triple((a + b) / 2 for a, b in zip(self.start, self.end, strict=True))


@dataclass(frozen=True, kw_only=True)
class Measures(Message):
    """How large a lesion or a part of one is, and how likely.

    Attributes:
        volume_ml: Volume in mL.
        max_diameter_mm: Largest distance in mm between any two points of its surface, taken at the
            centres of voxel faces; in any direction, across slices too.
        long_axis: Its longest diameter within one slice.
        short_axis: The longest line through it in that slice at a right angle to `long_axis`.
        mean_probability: Mean over its voxels; not a number where no region of the model speaks of
            it.
    """

    volume_ml: float
    max_diameter_mm: float
    long_axis: Ruler
    short_axis: Ruler
    mean_probability: float

    @property
    def product_mm2(self) -> float:
        """The bidimensional product, as RANO sums it up: long times short axis."""
        return self.long_axis.length_mm * self.short_axis.length_mm


@dataclass(frozen=True, kw_only=True)
class LesionPart(Measures):
    """All voxels of one class in a lesion; `mean_probability` is that of this class alone.

    So of oedema it is how likely the whole tumour is, less how likely its core.

    Attributes:
        label: Value of the class in the label map.
        name: Name of the class.
    """

    label: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Lesion(Measures):
    """One connected mass, of whatever classes; `mean_probability` is that of any class.

    Attributes:
        id: Its number: after a run 1, 2, ... in order of falling volume; it keeps that number when
            it is measured again.
        centroid_ras: Centre of mass in mm, RAS.
        place: Where in the head it lies, in words: side, front or back, top or bottom, as far as
            the image tells; see the constants of this file.
        parts: By class, in the order of the model's labels.
        edited_ml: Volume in mL of what was painted, erased or relabelled by hand in it or right
            beside it.
        likeness: How alike what speaks for it is to what spoke for its region on the cases over
            which the model was described: the cosine (-1 to 1) of the angle between the
            contributions of all components; None where that was not measured.
    """

    id: int
    centroid_ras: tuple[float, float, float]
    place: tuple[str, ...] = ()
    parts: tuple[LesionPart, ...] = ()
    edited_ml: float = 0.0
    likeness: float | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether it may be a false alarm, by what speaks for it, as far as that is known."""
        return self.likeness is not None and self.likeness < LIKE


def volume_by_label(lesions: Iterable[Lesion]) -> dict[int, float]:
    """Total volume in mL of every label value; segments of one name are told apart by it."""
    totals: dict[int, float] = {}
    for lesion in lesions:
        for part in lesion.parts:
            totals[part.label] = totals.get(part.label, 0.0) + part.volume_ml
    return totals


def volume_by_class(lesions: Iterable[Lesion]) -> dict[str, float]:
    """Total volume in mL of every class that was found, the largest first."""
    totals: dict[str, float] = {}
    for lesion in lesions:
        for part in lesion.parts:
            totals[part.name] = totals.get(part.name, 0.0) + part.volume_ml
    return dict(sorted(totals.items(), key=lambda item: -item[1]))
