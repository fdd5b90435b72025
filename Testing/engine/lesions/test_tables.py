"""Lesions as a table."""

from __future__ import annotations

import csv

import pytest

from factorizer_engine.lesions.tables import LESION_COLUMNS, write_lesions_csv
from factorizer_engine.protocol.lesions import Lesion


def test_lesions_are_written_one_per_row(tmp_path):
    lesion = Lesion(1, 4, "Enhancing tumour", 1.23456, 20.5, (1.0, -2.345, 3.0), 0.91234)
    write_lesions_csv([lesion], tmp_path / "lesions.csv")
    with open(tmp_path / "lesions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(LESION_COLUMNS)
    assert rows[0]["class"] == "Enhancing tumour"
    assert float(rows[0]["volume_ml"]) == pytest.approx(1.2346)
    assert float(rows[0]["centroid_a_mm"]) == pytest.approx(-2.345, abs=0.01)
    write_lesions_csv([], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join(LESION_COLUMNS) + "\n"
