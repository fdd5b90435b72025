"""One self-contained HTML page that shows a run: result, pictures, components and sources."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from demo.sample import REGION_LABELS, Sample
from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.tasks.components import ComponentsResult
from factorizer_engine.protocol.tasks.segment import SegmentResult

TEMPLATE = Path(__file__).with_name("report.html.jinja")
MIN_LESION_ML = 0.05
"""The lesion table has lesions from this size on; the rest is in the CSV file."""
NEGLIGIBLE_LOGIT = 0.05
"""A change of a logit below this is not put into words."""


@dataclass(frozen=True)
class Picture:
    """A rendered slice: the image file, and what it shows."""

    path: Path
    title: str
    caption: str = ""

    @property
    def data_uri(self) -> str:
        """The image itself as a URI, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Pictures:
    """All pictures of a run.

    Attributes:
        segmentation: Axial, coronal and sagittal slice with the segments.
        heatmap: The same slices with the component that peaks most within the lesion.
        components: One slice per component, in the components' order.
    """

    segmentation: tuple[Picture, ...]
    heatmap: tuple[Picture, ...]
    components: tuple[Picture, ...]


@dataclass(frozen=True)
class Run:
    """Everything that happened.

    Attributes:
        sample: The case.
        result: What the engine found.
        components: What drove it.
        scores: Dice by region name against the experts' label.
        region_volumes: Volume by region name in mL.
        pictures: The rendered slices.
        timings: Seconds by stage of the whole demo.
        date: When, as people write it.
        files: File name to what it holds.
    """

    sample: Sample
    result: SegmentResult
    components: ComponentsResult
    scores: dict[str, float]
    region_volumes: dict[str, float]
    pictures: Pictures
    timings: dict[str, float]
    date: str
    files: dict[str, str] = field(default_factory=dict)


def write_report(run: Run, path: Path) -> None:
    """Write the page for `run` to `path`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lesions = run.result.lesions
    page = environment.get_template(TEMPLATE.name).render(
        run=run,
        lesions=[lesion for lesion in lesions if lesion.volume_ml >= MIN_LESION_ML],
        left_out=[lesion for lesion in lesions if lesion.volume_ml < MIN_LESION_ML],
        colors={label.value: _css(label.color) for label in run.result.model.labels},
        region_colors={r.name: _region_color(r, run.result) for r in run.result.model.regions},
        rows=[_component_row(c, run) for c in run.components.components],
        engine_seconds=sum(run.result.timings.values()),
        total_seconds=sum(run.timings.values()),
    )
    path.write_text(page, encoding="utf-8")


def explain_component(component: Component, regions: tuple[Region, ...]) -> str:
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


def _odds(drop: float) -> str:
    factor = math.exp(min(abs(drop), 20.0))
    direction = "lower" if drop > 0 else "higher"
    if factor < 2:
        return f"{100 * (1 - 1 / factor if drop > 0 else factor - 1):.0f}\u00a0% {direction}"
    return f"{factor:.1f} times {direction}" if factor < 100 else f"over 100 times {direction}"


@dataclass(frozen=True)
class _Bar:
    """One contribution as a bar from the middle: left when negative; percent of half the width."""

    title: str
    value: float
    percent: float
    color: str


def _component_row(component: Component, run: Run) -> dict[str, object]:
    every = [abs(v) for c in run.components.components for v in c.contributions.values()]
    largest = max(every, default=0.0) or 1.0
    bars = [
        _Bar(
            region.title,
            component.contributions.get(region.name, 0.0),
            100 * abs(component.contributions.get(region.name, 0.0)) / largest,
            _region_color(region, run.result),
        )
        for region in run.result.model.regions
    ]
    return {
        "component": component,
        "bars": bars,
        "sentence": explain_component(component, run.result.model.regions),
    }


def _region_color(region: Region, result: SegmentResult) -> str:
    """The colour of the label that the region alone paints."""
    colors = {label.value: label.color for label in result.model.labels}
    return _css(colors.get(region.label, (128, 128, 128)))


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def region_volumes(lesions: tuple[Lesion, ...]) -> dict[str, float]:
    """Volume of each region in mL, summed over the lesions of the labels that make it up."""
    return {
        region: sum(
            part.volume_ml for lesion in lesions for part in lesion.parts if part.label in values
        )
        for region, values in REGION_LABELS.items()
    }
