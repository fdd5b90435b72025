"""The page about a run."""

from __future__ import annotations

from factorizer_engine.training.records.records import open_run


def test_the_report_shows_curves_of_the_run(run):
    page = (run / "report.html").read_text()
    assert page.count("<polyline") >= 5
    assert "blob_4" in page
    assert open_run(run).best_validation["dice"] > 0
