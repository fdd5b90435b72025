"""Lesions as a table node."""

from __future__ import annotations

from collections.abc import Iterable

import vtk

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

ID, LABEL, CLASS = "Lesion", "Label", "Class"
VOLUME, DIAMETER, PROBABILITY = "Volume [mL]", "Largest diameter [mm]", "Mean probability"
CENTROID = ("R [mm]", "A [mm]", "S [mm]")
BOX_ATTRIBUTE = "FactorizerSegmentation.InsideBox"


def createLesionTable(scene, lesions: Iterable[Lesion], name: str):
    """A new vtkMRMLTableNode with one row per lesion; column titles carry the units."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, "Lesions")
    lesions = list(lesions)
    _addColumn(node, vtk.vtkIntArray(), ID, [lesion.id for lesion in lesions])
    _addColumn(node, vtk.vtkIntArray(), LABEL, [lesion.label for lesion in lesions])
    _addColumn(node, vtk.vtkStringArray(), CLASS, [lesion.name for lesion in lesions])
    _addColumn(node, vtk.vtkDoubleArray(), VOLUME, [lesion.volume_ml for lesion in lesions])
    _addColumn(node, vtk.vtkDoubleArray(), DIAMETER, [item.max_diameter_mm for item in lesions])
    _addColumn(node, vtk.vtkDoubleArray(), PROBABILITY, [item.mean_probability for item in lesions])
    for axis, title in enumerate(CENTROID):
        _addColumn(node, vtk.vtkDoubleArray(), title, [item.centroid_ras[axis] for item in lesions])
    node.SetUseColumnTitleAsColumnHeader(True)
    return node


def markBoxed(tableNode, boxed: bool) -> None:
    """Say whether the lesions of a table are only those inside a box."""
    tableNode.SetAttribute(BOX_ATTRIBUTE, "1" if boxed else None)


def isBoxed(tableNode) -> bool:
    """See `markBoxed`."""
    return tableNode.GetAttribute(BOX_ATTRIBUTE) is not None


def lesionsOf(tableNode) -> list[Lesion]:
    """The lesions of a table that `createLesionTable` made, largest first."""
    table = tableNode.GetTable()
    lesions = []
    for row in range(table.GetNumberOfRows()):
        get = {title: table.GetValueByName(row, title) for title in _TITLES}
        lesions.append(
            Lesion(
                id=get[ID].ToInt(),
                label=get[LABEL].ToInt(),
                name=get[CLASS].ToString(),
                volume_ml=get[VOLUME].ToDouble(),
                max_diameter_mm=get[DIAMETER].ToDouble(),
                centroid_ras=tuple(get[title].ToDouble() for title in CENTROID),
                mean_probability=get[PROBABILITY].ToDouble(),
            )
        )
    return sorted(lesions, key=lambda lesion: -lesion.volume_ml)


_TITLES = (ID, LABEL, CLASS, VOLUME, DIAMETER, PROBABILITY, *CENTROID)


def _addColumn(node, array, title: str, values) -> None:
    array.SetName(title)
    for value in values:
        array.InsertNextValue(value)
    node.AddColumn(array)
