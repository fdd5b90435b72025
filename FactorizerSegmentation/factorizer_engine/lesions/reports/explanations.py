"""What components drive, in sentences and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.lesions.reports.content import Explanation
from factorizer_engine.lesions.reports.pictures import Picture
from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.models import Region

NEGLIGIBLE_LOGIT = 0.05
"""A change of a logit below this is not put into words."""


@dataclass(frozen=True)
class Bar:
    """One contribution as a bar from the middle: left when negative; percent of half the width."""

    title: str
    value: float
    percent: float


@dataclass(frozen=True)
class ComponentRow:
    """A component as the page shows it; a picture is of its evidence for one region."""

    component: Component
    picture: Picture | None
    region: str
    sentence: str
    meaning: str
    bars: tuple[Bar, ...]


def component_rows(
    explanation: Explanation | None, pictures: Sequence[Picture]
) -> list[ComponentRow]:
    """The components, each with its picture if there are any."""
    if explanation is None:
        return []
    every = [abs(v) for c in explanation.components for v in c.contributions.values()]
    largest = max(every, default=0.0) or 1.0
    titles = {region.name: region.title for region in explanation.regions}
    rows = []
    for number, component in enumerate(explanation.components):
        values = [component.contributions.get(r.name, 0.0) for r in explanation.regions]
        bars = tuple(
            Bar(region.title, value, 100 * abs(value) / largest)
            for region, value in zip(explanation.regions, values, strict=True)
        )
        picture = pictures[number] if pictures else None
        sentence = explain_component(component, explanation.regions)
        region, meaning = titles.get(component.region, ""), describe_component(component)
        rows.append(ComponentRow(component, picture, region, sentence, meaning, bars))
    return rows


def explain_component(component: Component, regions: Sequence[Region]) -> str:
    """One plain sentence on what the result would be without the component.

    A contribution is the drop of a region's mean logit inside the lesion on removal, so its
    exponential is the factor by which the odds of the region fall.
    """
    titles = {region.name: region.title.lower() for region in regions}
    strong = sorted(component.contributions.items(), key=lambda item: -abs(item[1]))
    strong = [(name, drop) for name, drop in strong if abs(drop) >= NEGLIGIBLE_LOGIT]
    if not strong:
        return "Without it the result would hardly change."
    clauses = [f"{_odds(drop)} for {titles.get(name, name)}" for name, drop in strong[:2]]
    return f"Without it, the odds inside the lesion would be {' and '.join(clauses)}."


def describe_component(component: Component) -> str:
    """What the component meant on the cases over which the model was described, or ""."""
    sentences = [component.meaning] if component.meaning else []
    if not component.is_stable:
        kept = f"{component.stability:.2f}"
        sentences.append(f"Its maps are not stable: with shifted windows they correlate by {kept}")
    return "".join(f"{sentence}. " for sentence in sentences).rstrip()


def _odds(drop: float) -> str:
    factor = math.exp(min(abs(drop), 20.0))
    direction = "lower" if drop > 0 else "higher"
    if factor < 2:
        return f"{100 * (1 - 1 / factor if drop > 0 else factor - 1):.0f}\u00a0% {direction}"
    return f"{factor:.1f} times {direction}" if factor < 100 else f"over 100 times {direction}"
