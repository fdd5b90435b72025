"""The page about a comparison."""

from __future__ import annotations

import codecs
import csv
import re

import numpy as np
import pytest

from engine.lesions.follow_up.studies import LABELS, ball, study
from factorizer_engine.lesions.follow_up.comparison import compare_studies
from factorizer_engine.lesions.reports.charts import line_chart
from factorizer_engine.lesions.reports.follow_up import write_follow_up


@pytest.fixture
def page(tmp_path) -> str:
    studies = [
        study("2025-01-01", (1, ball((20, 20, 20), 6))),
        study("2025-02-01", (1, ball((20, 20, 20), 8)), (2, ball((60, 60, 40), 5))),
        study("2026-01-01", (1, ball((20, 20, 20), 12)), (1, ball((60, 20, 20), 1))),
    ]
    comparison = compare_studies(studies, np.eye(4))
    path = tmp_path / "follow-up.html"
    write_follow_up(comparison, studies, np.eye(4), ["The <scans> do not fit."], path)
    return path.read_text(encoding="utf-8")


def test_the_page_tells_what_became_of_each_lesion(page):
    for text in (
        "2025-02-01 to 2026-01-01",
        "3 studies in all",
        "The &lt;scans&gt; do not fit.",
        "Progressive disease",
        "<b>grown</b>",
        "<b>gone</b>",
        "-100 %",
        "1 of less than 0.05 mL are in the table",
    ):
        assert text in page, text
    assert "<b>new</b>" not in page  # too small
    assert "sent anywhere" not in page, "the engine may have run on another machine"
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.count("<figure") == 2 * 2


def test_small_changes_and_lesions_are_not_told_as_none(tmp_path):
    before, after = (ball((20, 20, 20), 6) for _ in range(2))
    after[27, 20, 10] = True  # 2 mm3 more
    studies = [study("a", (1, before)), study("b", (1, after))]
    comparison = compare_studies(studies, np.eye(4))
    write_follow_up(comparison, studies, np.eye(4), [], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">+0.0020<" in text and ">-0.00<" not in text


def test_a_change_that_rounds_to_nothing_has_no_sign(tmp_path):
    before, after = (ball((20, 20, 20), 12) for _ in range(2))
    after[32, 20, 10] = False
    studies = [study("a", (1, before)), study("b", (1, after))]
    comparison = compare_studies(studies, np.eye(4))
    write_follow_up(comparison, studies, np.eye(4), [], tmp_path / "p.html")
    with (tmp_path / "p.csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["change_percent"] == "0.0" and float(row["change_ml"]) < 0


def test_the_tables_beside_it_have_everything(page, tmp_path):
    with (tmp_path / "follow-up.csv").open(encoding="utf-8-sig") as file:
        changes = list(csv.DictReader(file))
    assert [row["change"] for row in changes] == ["grown", "gone", "new"]
    assert changes[0]["earlier_lesions"] == changes[0]["later_lesions"] == "1"
    assert changes[2]["change_percent"] == ""
    assert float(changes[1]["change_ml"]) == -float(changes[1]["earlier_ml"])
    with (tmp_path / "follow-up-volumes.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["study"] for row in rows] == ["2025-01-01", "2025-02-01", "2026-01-01"]
    assert float(rows[0][f"{LABELS[1].name} (mL)"]) == 0


def test_spreadsheets_are_told_that_the_tables_are_in_utf8(page, tmp_path):
    for name in ("follow-up.csv", "follow-up-volumes.csv"):
        assert (tmp_path / name).read_bytes().startswith(codecs.BOM_UTF8)


def circles(svg: str) -> list[tuple[float, float]]:
    found = re.findall(r'<circle cx="(\S+)" cy="(\S+)"', svg)
    return [(float(x), float(y)) for x, y in found]


def test_distances_in_the_plot_are_those_of_time():
    dated = circles(
        line_chart(["2025-01-01", "2025-02-01", "2026-01-01"], {"A": ("red", [0, 5, 10])}, "mL")
    )
    first, second, third = (x for x, _ in dated)
    assert (second - first) / (third - first) == pytest.approx(31 / 365, abs=0.002)
    assert dated[0][1] - dated[1][1] == pytest.approx(dated[1][1] - dated[2][1], abs=0.2)
    counted = circles(line_chart(["a", "b", "c"], {"A": ("red", [0, 0, 0])}, "mL"))
    first, second, third = (x for x, _ in counted)
    assert second - first == pytest.approx(third - second)
    backwards = circles(line_chart(["2026-01-01", "2025-01-01"], {"A": ("red", [1, 2])}, "mL"))
    assert backwards[0][0] < backwards[1][0]
