"""A page about the lesions of a study."""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from pathlib import Path

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.report import ReportParams, ReportResult
from factorizer_engine.service.engine import Engine


def run(_engine: Engine, params: ReportParams, monitor: Monitor) -> ReportResult:
    """Measure the segments as they are now, draw the pictures and write page and table."""
    monitor.report("measuring the lesions", 0.0)
    from factorizer_engine.lesions.remeasuring import measure_again
    from factorizer_engine.lesions.reports.content import Explanation, Report
    from factorizer_engine.lesions.reports.page import write_report
    from factorizer_engine.lesions.reports.prepared import read_sheet
    from factorizer_engine.lesions.tables import write_lesions_csv
    from factorizer_engine.service.exchange import load_scan, load_scans

    given = params.segmentation
    labelmap, scans = load_scan(given.labelmap), load_scans(params.scans)
    scan = None if given.upside_down else next(iter(scans.values()), None)
    by_hand = load_scan(given.by_hand).array != 0 if given.by_hand is not None else None
    measured = measure_again(
        labelmap, (), given.labels, None, scan, by_hand, given.known, given.gone
    )
    lesions = [_as_known(lesion, given.known) for lesion in measured]
    monitor.report("drawing the pictures", 0.4)
    evidence = [load_scan(file) for file in params.evidence]
    explained = Explanation(params.components, evidence, params.regions) if evidence else None
    page = Path(params.page)
    write_report(
        Report(
            title=params.title,
            made=params.made,
            labelmap=labelmap,
            labels=given.labels,
            lesions=lesions,
            scans=scans,
            words=params.words,
            warnings=params.warnings,
            edited=given.edited,
            explanation=explained,
            prepared=read_sheet(params.sheet) if params.sheet else None,
            facts=params.facts,
        ),
        page,
    )
    table = page.with_suffix(".csv")
    write_lesions_csv(lesions, given.labels, table)
    monitor.report("writing", 1.0)
    return ReportResult(str(page), str(table), tuple(lesions))


def _as_known(lesion: Lesion, known: tuple[Lesion, ...]) -> Lesion:
    """A lesion with the probabilities that are known of it, if it is as it was."""
    before = next((other for other in known if other.id == lesion.id), None)
    if before is None or not isclose(before.volume_ml, lesion.volume_ml, rel_tol=1e-6):
        return lesion
    names = {part.label: part.name for part in lesion.parts}  # classes may have been renamed
    parts = tuple(replace(it, name=names.get(it.label, it.name)) for it in before.parts)
    return replace(before, parts=parts, edited_ml=max(before.edited_ml, lesion.edited_ml))
