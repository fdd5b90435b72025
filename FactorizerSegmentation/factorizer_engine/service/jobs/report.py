"""A page about the lesions of a study."""

from __future__ import annotations

from pathlib import Path

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
    lesions = measure_again(
        labelmap, (), given.labels, None, scan, by_hand, given.known, given.gone
    )
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
