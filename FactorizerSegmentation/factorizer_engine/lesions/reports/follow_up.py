"""A comparison of studies as one HTML page, with its tables as CSV files beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factorizer_engine import __version__
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.diameters import slice_axis
from factorizer_engine.lesions.follow_up.comparison import Comparison, MeasuredStudy
from factorizer_engine.lesions.reports.charts import line_chart
from factorizer_engine.lesions.reports.key_images import MOST_LESIONS, SMALLEST_ML
from factorizer_engine.lesions.reports.page import fill_template
from factorizer_engine.lesions.reports.pictures import Backdrop, Outline, Picture, css, draw
from factorizer_engine.lesions.reports.slices import slice_through
from factorizer_engine.protocol.files import FOR_SPREADSHEETS, write_csv, write_text
from factorizer_engine.protocol.follow_up import CHANGE, LesionChange, TimePoint, count_kinds
from factorizer_engine.protocol.wording import rounded

ALL_COLOR = "#808890"
CHANGE_COLUMNS = (
    "change", "earlier_lesions", "later_lesions", "place", "r_mm", "a_mm", "s_mm",
    "earlier_ml", "later_ml", "change_ml", "change_percent",
)  # fmt: skip


@dataclass(frozen=True)
class ChangePictures:
    """What became of a lesion, with the same slice of both studies."""

    change: LesionChange
    pictures: tuple[Picture, Picture]


def write_follow_up(
    comparison: Comparison,
    studies: Sequence[MeasuredStudy],
    to_last: np.ndarray,
    doubts: Sequence[str],
    path: Path,
) -> None:
    """Write the page; NAME.csv and NAME-volumes.csv beside it have the changes and the sums.

    Args:
        comparison: What has changed.
        studies: What was compared, the oldest first.
        to_last: 4x4, from the world of the last but one to that of the last, mm RAS.
        doubts: What to know before believing it.

    Raises:
        BadInputError: If a file cannot be written.
    """
    *_, before, after = studies
    labels = after.labels
    lines = {
        label.name: (
            css(label.color),
            [p.volumes_ml.get(label.name, 0.0) for p in comparison.points],
        )
        for label in labels
    }
    if len(labels) > 1:
        lines["All"] = (ALL_COLOR, [point.total_ml for point in comparison.points])
    shown = [c for c in comparison.changes if max(c.before_ml, c.after_ml) >= SMALLEST_ML]
    page = fill_template(
        "follow_up.html.jinja",
        comparison=comparison,
        before=before,
        after=after,
        doubts=doubts,
        kinds=count_kinds(shown),
        shown=shown,
        smallest_ml=SMALLEST_ML,
        change_percent=100 * CHANGE,
        chart=line_chart([study.name for study in studies], lines, "mL"),
        lines=lines,
        pictured=list(_pictures(shown[:MOST_LESIONS], before, after, to_last)),
        version=__version__,
        isnan=math.isnan,
    )
    write_text(path, page)
    write_changes(comparison.changes, path.with_suffix(".csv"))
    write_points(comparison.points, path.with_name(f"{path.stem}-volumes.csv"))


def write_changes(changes: Sequence[LesionChange], path: Path) -> None:
    """Write one row per lesion."""
    rows = (
        (
            change.kind,
            " ".join(map(str, change.before)),
            " ".join(map(str, change.after)),
            " ".join(change.place),
            *(f"{mm:.2f}" for mm in change.point),
            *(rounded(ml, 4) for ml in (change.before_ml, change.after_ml, change.change_ml)),
            "" if math.isnan(change.change_percent) else _one_decimal(change.change_percent),
        )
        for change in changes
    )
    write_csv(path, (CHANGE_COLUMNS, *rows), "\n", FOR_SPREADSHEETS)


def _one_decimal(value: float) -> str:
    """What rounds to nothing has no sign."""
    return f"{round(value, 1) + 0.0:.1f}"


def write_points(points: Sequence[TimePoint], path: Path) -> None:
    """Write one row per study."""
    names = list(dict.fromkeys(name for point in points for name in point.volumes_ml))
    titles = ("study", "lesions", *(f"{name} (mL)" for name in names), "enhancing_products_mm2")
    rows = (
        (
            point.name,
            point.lesions,
            *(rounded(point.volumes_ml.get(name, 0.0), 4) for name in names),
            "" if math.isnan(point.enhancing_mm2) else f"{point.enhancing_mm2:.1f}",
        )
        for point in points
    )
    write_csv(path, (titles, *rows), "\n", FOR_SPREADSHEETS)


def _pictures(
    changes: Sequence[LesionChange],
    before: MeasuredStudy,
    after: MeasuredStudy,
    to_last: np.ndarray,
) -> Iterator[ChangePictures]:
    """The same slice of both studies, the earlier one brought onto the later one."""
    grid = after.labelmap.grid
    moved = Scan.of(before.labelmap.array, to_last @ before.labelmap.affine)
    earlier_labels = resample(moved, grid, "nearest").array
    scan = Scan.of(before.scan.array, to_last @ before.scan.affine)
    sides = (
        (Backdrop(before.name, scan), earlier_labels, before),
        (Backdrop(after.name, after.scan), after.labelmap.array, after),
    )
    for change in changes:
        view = slice_through(grid, slice_axis(grid.affine), change.point)
        first, second = (
            draw(
                view,
                backdrop,
                [Outline(array == label.value, css(label.color)) for label in study.labels],
                study.name,
            )
            for backdrop, array, study in sides
        )
        yield ChangePictures(change, (first, second))
