from __future__ import annotations

import dataclasses

import pytest

from factorizer_engine.protocol.lesions import Lesion, LesionPart, Ruler
from FactorizerSegmentationLib.scene.tables import (
    ACCEPTED,
    LESIONS_ATTRIBUTE,
    REJECTED,
    createLesionTable,
    lesionsOf,
    noteLikeness,
    placeText,
    setVerdict,
    verdictsOf,
)

MEASURES = {
    "max_diameter_mm": 9.5,
    "long_axis": Ruler((0.0, 0.0, 0.0), (8.0, 0.0, 0.0)),
    "short_axis": Ruler((4.0, -3.0, 0.0), (4.0, 3.0, 0.0)),
    "mean_probability": 0.91,
}
PART = LesionPart(label=4, name="Enhancing", volume_ml=0.25, **MEASURES)
LARGE = Lesion(
    id=1,
    volume_ml=42.0,
    centroid_ras=(-30.0, 12.0, 8.0),
    place=("left",),
    parts=(PART,),
    **MEASURES,
)
SMALL = dataclasses.replace(LARGE, id=2, volume_ml=0.25, parts=())


def cells(node) -> list[dict[str, str]]:
    titles = [node.GetColumnName(index) for index in range(node.GetNumberOfColumns())]
    return [
        {title: node.GetCellText(row, column) for column, title in enumerate(titles)}
        for row in range(node.GetNumberOfRows())
    ]


def test_lesions_are_read_back_largest_first(scene):
    assert lesionsOf(createLesionTable(scene, [SMALL, LARGE], "Lesions")) == [LARGE, SMALL]


def test_the_columns_carry_units_and_the_parts(scene):
    large, small = cells(createLesionTable(scene, [LARGE, SMALL], "Lesions"))

    assert float(large["Volume [mL]"]) == 42.0
    assert float(large["Product [mm2]"]) == pytest.approx(48.0)
    assert float(large["Enhancing: Volume [mL]"]) == 0.25
    assert float(small["Enhancing: Volume [mL]"]) == 0.0
    assert large["Place"] == "left"


def test_no_lesion_gives_an_empty_table(scene):
    assert lesionsOf(createLesionTable(scene, [], "Lesions")) == []


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '[{"id": 1}]', "3"])
def test_a_table_of_others_has_no_lesions(scene, text):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode")
    node.SetAttribute(LESIONS_ATTRIBUTE, text)

    assert lesionsOf(node) == []


def test_verdicts_are_kept_in_the_table(scene):
    node = createLesionTable(scene, [LARGE, SMALL], "Lesions")
    setVerdict(node, 2, REJECTED)
    setVerdict(node, 1, ACCEPTED)

    assert verdictsOf(node) == {1: ACCEPTED, 2: REJECTED}
    assert [row["Review"] for row in cells(node)] == [ACCEPTED, REJECTED]


def test_the_likeness_of_explained_lesions_is_taken_over_where_they_are_the_same(scene):
    small = dataclasses.replace(SMALL, centroid_ras=(30.0, 12.0, 8.0))
    node = createLesionTable(scene, [LARGE, small], "Lesions")
    setVerdict(node, 1, ACCEPTED)
    told = dataclasses.replace(small, id=7, likeness=0.3)
    moved = dataclasses.replace(LARGE, centroid_ras=(-31.0, 12.0, 8.0), likeness=0.2)
    noteLikeness(node, [moved, told])
    large, other = lesionsOf(node)
    assert large == LARGE and other == dataclasses.replace(small, likeness=0.3)
    assert [row["False alarm"] for row in cells(node)] == ["", "perhaps"]
    assert verdictsOf(node)[1] == ACCEPTED
    noteLikeness(node, [dataclasses.replace(told, likeness=None)])
    assert lesionsOf(node)[1].likeness == 0.3


def test_every_word_for_a_place_has_a_text():
    words = ("right", "left", "both sides", "anterior", "posterior", "superior", "inferior")
    lesion = dataclasses.replace(LARGE, place=words)

    assert placeText(lesion) == ", ".join(words)
