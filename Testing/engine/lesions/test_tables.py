"""Lesions as a table."""

from __future__ import annotations

import codecs
import csv

import pytest

from factorizer_engine.lesions.tables import lesion_columns, write_lesions_csv
from factorizer_engine.protocol.lesions import Lesion, LesionPart, Ruler
from factorizer_engine.protocol.models import Label

LABELS = (Label(4, "Enhancing tumour", (240, 200, 60)), Label(2, "Oedema (FLAIR)", (0, 200, 0)))
MEASURES = {
    "max_diameter_mm": 20.5,
    "long_axis": Ruler((0.0, 0.0, 0.0), (18.0, 0.0, 0.0)),
    "short_axis": Ruler((9.0, -5.0, 0.0), (9.0, 5.0, 0.0)),
    "mean_probability": 0.91234,
}


def test_lesions_are_written_one_per_row_with_their_parts_in_columns(tmp_path):
    part = LesionPart(label=4, name="Enhancing tumour", volume_ml=0.5, **MEASURES)
    lesion = Lesion(
        id=1,
        volume_ml=1.23456,
        centroid_ras=(1.0, -2.345, 3.0),
        place=("left", "anterior"),
        parts=(part,),
        **MEASURES,
    )
    write_lesions_csv([lesion], LABELS, tmp_path / "lesions.csv")
    with open(tmp_path / "lesions.csv", newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == lesion_columns(LABELS)
    assert float(row["volume_ml"]) == pytest.approx(1.2346)
    assert float(row["centroid_a_mm"]) == pytest.approx(-2.345, abs=0.01)
    assert float(row["product_mm2"]) == pytest.approx(180.0)
    assert row["place"] == "left anterior"
    assert float(row["enhancing_tumour_volume_ml"]) == 0.5
    assert row["oedema_flair_volume_ml"] == ""


def test_a_lesion_of_one_tiny_voxel_has_a_volume(tmp_path):
    lesion = Lesion(id=1, volume_ml=0.3**3 / 1000, centroid_ras=(0.0, 0.0, 0.0), **MEASURES)
    write_lesions_csv([lesion], LABELS, tmp_path / "lesions.csv")
    with open(tmp_path / "lesions.csv", newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert float(row["volume_ml"]) == pytest.approx(2.7e-5)


def test_without_lesions_there_are_titles_only(tmp_path):
    write_lesions_csv([], LABELS, tmp_path / "none.csv")
    text = (tmp_path / "none.csv").read_text(encoding="utf-8-sig")
    assert text == ",".join(lesion_columns(LABELS)) + "\n"


def test_spreadsheets_are_told_that_it_is_in_utf8(tmp_path):
    write_lesions_csv([], [Label(1, "\u00d6dem", (0, 0, 0))], tmp_path / "lesions.csv")
    content = (tmp_path / "lesions.csv").read_bytes()
    assert content.startswith(codecs.BOM_UTF8) and "\u00f6dem_volume_ml".encode() in content


def test_classes_of_one_name_or_none_have_columns_of_their_own():
    labels = [Label(value, name, (0, 0, 0)) for value, name in ((1, "A"), (2, "a"), (3, "?"))]
    titles = lesion_columns(labels)
    assert len(set(titles)) == len(titles)
    assert {"a_1_volume_ml", "a_2_volume_ml", "label_3_volume_ml"} <= set(titles)


def test_a_probability_that_nobody_computed_is_an_empty_cell(tmp_path):
    measures = {**MEASURES, "mean_probability": float("nan")}
    lesion = Lesion(id=1, volume_ml=1.0, centroid_ras=(0.0, 0.0, 0.0), **measures)
    write_lesions_csv([lesion], LABELS, tmp_path / "lesions.csv")
    assert "nan" not in (tmp_path / "lesions.csv").read_text(encoding="utf-8-sig")
