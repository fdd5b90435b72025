"""A report as one HTML page that needs no other file, for the screen and for paper."""

from __future__ import annotations

import math
from pathlib import Path

import jinja2

from factorizer_engine import __version__
from factorizer_engine.lesions.enhancement import enhancing_labels
from factorizer_engine.lesions.follow_up.response import MOST_LESIONS, time_point
from factorizer_engine.lesions.reports.content import Report
from factorizer_engine.lesions.reports.explanations import component_rows
from factorizer_engine.lesions.reports.key_images import SMALLEST_ML, KeyImages
from factorizer_engine.lesions.reports.pictures import css
from factorizer_engine.protocol.files import write_text
from factorizer_engine.protocol.lesions import volume_by_label
from factorizer_engine.protocol.wording import counted, rounded


def write_report(report: Report, path: str | Path) -> None:
    """Write the page.

    Raises:
        BadInputError: If it cannot be written.
    """
    write_text(path, render_report(report))


def render_report(report: Report) -> str:
    """The page as text."""
    images = KeyImages(report)
    lesions = report.lesions
    volumes = volume_by_label(lesions)
    return fill_template(
        "page.html.jinja",
        report=report,
        overview=images.overview(),
        pictured=list(images.of_lesions()),
        lesions=[lesion for lesion in lesions if lesion.volume_ml >= SMALLEST_ML],
        left_out=[lesion for lesion in lesions if lesion.volume_ml < SMALLEST_ML],
        smallest_ml=SMALLEST_ML,
        classes=[(label, volumes.get(label.value, 0.0)) for label in report.labels],
        total_ml=sum(lesion.volume_ml for lesion in lesions),
        products=_sums_of_products(report),
        colors={label.value: css(label.color) for label in report.labels},
        components=component_rows(report.explanation, images.of_components()),
        probable=any(not math.isnan(lesion.mean_probability) for lesion in lesions),
        version=__version__,
        isnan=math.isnan,
    )


def fill_template(name: str, **values: object) -> str:
    """A page of this folder, filled; what is missing is a mistake, and text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rounded"] = rounded
    return environment.get_template(name).render(values)


def _sums_of_products(report: Report) -> dict[int, str]:
    """By label that was found, the sum of the products of both axes, in words.

    Of what enhances only what is measurable counts, as RANO and the comparison of studies have it.
    """
    sums: dict[int, float] = {}
    for lesion in report.lesions:
        for part in lesion.parts:
            sums[part.label] = sums.get(part.label, 0.0) + part.product_mm2
    told = {value: f"sum of products: {rounded(total, 0)} mm²" for value, total in sums.items()}
    for label in report.labels:
        if label.value in sums and enhancing_labels([label]):
            point = time_point(report.title, report.lesions, [label])
            of = counted(min(point.measurable, MOST_LESIONS), "measurable lesion")
            total = rounded(point.enhancing_mm2, 0)
            told[label.value] = f"sum of products of {of}: {total} mm²"
    return told
