"""What became of the lesions of a patient from study to study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.follow_up import (
    FollowUpParams,
    FollowUpResult,
    SegmentedStudy,
)
from factorizer_engine.service.engine import Engine

if TYPE_CHECKING:
    import numpy as np

    from factorizer_engine.images.scan import Scan
    from factorizer_engine.lesions.follow_up.comparison import MeasuredStudy
    from factorizer_engine.lesions.follow_up.doubts import ToldStudy

MEASURED, REGISTERED = 0.2, 0.8
"""How far a comparison has come when the lesions are measured, and when the scans are together."""


def run(_engine: Engine, params: FollowUpParams, monitor: Monitor) -> FollowUpResult:
    """Measure every study, bring the scans onto the last one, and match the lesions."""
    monitor.report("measuring the lesions", 0.0)
    from factorizer_engine.lesions.follow_up.comparison import compare_studies
    from factorizer_engine.lesions.follow_up.doubts import doubts_about
    from factorizer_engine.service.exchange import load_scan

    scans = [load_scan(study.scan) for study in params.studies]
    doubts = [*doubts_about([*map(_told, params.studies, scans)])]
    studies = [_measure(*pair) for pair in zip(params.studies, scans, strict=True)]
    *earlier, last = studies
    matrices = []
    spans = monitor.span(MEASURED, REGISTERED).parts(len(earlier))
    for study, span in zip(earlier, spans, strict=True):
        matrix, doubt = _bring(study, last.scan, params.registered, span)
        matrices.append(matrix)
        doubts += [doubt] if doubt else []
    monitor.report("comparing the lesions", REGISTERED)
    comparison = compare_studies(studies, matrices[-1])
    if params.page:
        from factorizer_engine.lesions.reports.follow_up import write_follow_up

        write_follow_up(comparison, studies, matrices[-1], doubts, Path(params.page))
    monitor.report("writing", 1.0)
    return FollowUpResult(
        comparison.points,
        comparison.changes,
        comparison.response,
        tuple(tuple(tuple(row) for row in matrix.tolist()) for matrix in matrices),
        tuple(doubts),
    )


def _told(study: SegmentedStudy, scan: Scan) -> ToldStudy:
    from factorizer_engine.lesions.follow_up.doubts import ToldStudy

    model = f"{study.segmentation.model} {study.segmentation.version}".strip()
    return ToldStudy(study.name, scan, model, study.thresholds)


def _measure(study: SegmentedStudy, scan: Scan) -> MeasuredStudy:
    from factorizer_engine.lesions.follow_up.comparison import MeasuredStudy
    from factorizer_engine.lesions.remeasuring import measure_again
    from factorizer_engine.service.exchange import load_scan

    given = study.segmentation
    labelmap = load_scan(given.labelmap)
    telling = None if given.upside_down else scan
    lesions = measure_again(
        labelmap, (), given.labels, None, telling, None, given.known, given.gone
    )
    return MeasuredStudy(study.name, scan, labelmap, given.labels, lesions)


def _bring(
    study: MeasuredStudy, onto: Scan, registered: bool, monitor: Monitor
) -> tuple[np.ndarray, str]:
    """The matrix that brings a study onto a scan, and what is to be doubted about it."""
    import numpy as np

    from factorizer_engine.preparation.registration import register

    if not registered:
        return np.eye(4), ""
    found = register(study.scan, onto, monitor=monitor)
    if found.failed:
        return np.eye(4), (
            f"The scans of {study.name} could not be brought onto the last ones; they are compared "
            "where their headers say that they lie."
        )
    return found.matrix, ""
