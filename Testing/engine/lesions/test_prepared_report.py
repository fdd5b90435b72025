"""The quality sheet of a preparation within a report."""

from __future__ import annotations

import pytest

from engine.preparation.heads import T1, T2, head
from factorizer_engine.lesions.reports.prepared import read_sheet
from factorizer_engine.preparation.sheet import write_sheet
from factorizer_engine.protocol.preparation import Step


@pytest.fixture
def sheet(tmp_path) -> str:
    steps = [
        Step("T1", "registration", "moved onto FLAIR & <b>back</b>.", values={"overlap": 0.9}),
        Step("", "slices", "5 mm slices.", doubtful=True),
    ]
    scans = {"FLAIR": head(T2), "T1": head(T1)}
    write_sheet(tmp_path / "sheet.html", scans, "FLAIR", None, steps, {"torch": "1"})
    return (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_pictures_and_steps_come_from_the_sheet(sheet):
    found = read_sheet(sheet)
    assert [title for title, _ in found.pictures] == [
        f"{row}, {plane}"
        for row in ("FLAIR", "FLAIR and T1")
        for plane in ("axial", "coronal", "sagittal")
    ]
    assert all(picture in sheet for _, picture in found.pictures)
    assert [(step.doubtful, step.texts) for step in found.steps] == [
        (False, ["T1", "registration", "moved onto FLAIR & <b>back</b>."]),
        (True, ["all", "slices", "5 mm slices."]),
    ]


def test_nothing_but_pictures_and_text_is_taken():
    found = read_sheet(
        '<img alt="x" src="https://example.org/a.png"><img src="data:image/svg+xml;base64,AA">'
        "<script>alert(1)</script><table><tr><td>T1<script>alert(2)</script></tr></table>"
    )
    assert found.pictures == []
    assert [step.texts for step in found.steps] == [["T1"]]
