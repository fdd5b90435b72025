from __future__ import annotations

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.scene.tables import createLesionTable, lesionsOf

SMALL = Lesion(1, 4, "Enhancing", 0.25, 9.5, (1.0, -2.0, 3.5), 0.91)
LARGE = Lesion(2, 2, "Oedema", 42.125, 71.0, (-30.0, 12.0, 8.0), 0.77)


def test_lesions_are_read_back_largest_first(scene):
    assert lesionsOf(createLesionTable(scene, [SMALL, LARGE], "Lesions")) == [LARGE, SMALL]


def test_the_titles_carry_the_units(scene):
    node = createLesionTable(scene, [SMALL], "Lesions")

    titles = [node.GetColumnName(index) for index in range(node.GetNumberOfColumns())]

    assert "Volume [mL]" in titles
    assert "Largest diameter [mm]" in titles
    assert node.GetCellText(0, titles.index("Class")) == "Enhancing"


def test_no_lesion_gives_an_empty_table(scene):
    assert lesionsOf(createLesionTable(scene, [], "Lesions")) == []
