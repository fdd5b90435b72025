"""What the made-up engine answers when it is asked to report, to export and to compare."""

from __future__ import annotations

import json
from pathlib import Path

from factorizer_engine.protocol.follow_up import LesionChange, Response, TimePoint
from factorizer_engine.protocol.tasks.export_dicom import (
    REPORT_FILE,
    SEGMENTATION_FILE,
    ExportDicomParams,
    ExportDicomResult,
)
from factorizer_engine.protocol.tasks.follow_up import FollowUpParams, FollowUpResult
from factorizer_engine.protocol.tasks.report import ReportParams, ReportResult

SHIFT = ((1.0, 0.0, 0.0, 10.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
"""From the world of an earlier study to that of the last: 10 mm to the right."""


def export_dicom(params: ExportDicomParams) -> ExportDicomResult:
    """Files that tell what they are of."""
    paths = [Path(params.output_dir) / name for name in (SEGMENTATION_FILE, REPORT_FILE)]
    for path in paths:
        path.write_text(f"{params.series_dir} {params.segmentation.model}", encoding="utf-8")
    maps = [Path(params.output_dir) / f"{it.kind}_{it.number}.dcm" for it in params.maps]
    for path, given in zip(maps, params.maps, strict=True):
        path.write_text(f"{given.name} {given.window} {given.scan.load().max():.1f}")
    return ExportDicomResult(*map(str, paths), tuple(map(str, maps)))


def report(params: ReportParams) -> ReportResult:
    """A page that is what was asked, and the first lesion that was known."""
    page = Path(params.page)
    page.write_text(json.dumps(params.to_dict()), encoding="utf-8")
    table = page.with_suffix(".csv")
    table.touch()
    return ReportResult(str(page), str(table), params.segmentation.known[:1])


def follow_up(params: FollowUpParams) -> FollowUpResult:
    """One lesion has grown, and another is new; classes have more volume from study to study."""
    if params.page:
        Path(params.page).write_text(json.dumps(params.to_dict()), encoding="utf-8")
    names = [label.name for label in params.studies[-1].segmentation.labels]
    points = tuple(
        TimePoint(study.name, 1, dict.fromkeys(names, 1.0 + number), 100.0, 1)
        for number, study in enumerate(params.studies)
    )
    grown = LesionChange("grown", (1,), (1,), 1.0, 2.0, (1.0, 2.0, 3.0), ("right",), {}, {})
    new = LesionChange("new", (), (2,), 0.0, 0.5, (4.0, 5.0, 6.0), (), {}, {})
    response = Response("progressive disease", "A reason.")
    to_last = (SHIFT,) * (len(params.studies) - 1)
    return FollowUpResult(points, (grown, new), response, to_last, ("A doubt.",))
