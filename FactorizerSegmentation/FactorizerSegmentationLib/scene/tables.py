"""Lesions as a table node: for people in columns, for this module in an attribute."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion, Measures, Ruler
from factorizer_engine.protocol.messages import ProtocolError
from FactorizerSegmentationLib.scene.noted_places import movedPoint, movement
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

ID, PLACE, VERDICT = "Lesion", "Place", "Review"
CENTROID = ("R [mm]", "A [mm]", "S [mm]")
MEASURES = (
    "Volume [mL]",
    "Largest diameter [mm]",
    "Longest in slice [mm]",
    "Perpendicular [mm]",
    "Product [mm2]",
    "Mean probability",
)
EDITED = "Edited by hand [mL]"
FALSE_ALARM = "False alarm"
BOX_ATTRIBUTE = "FactorizerSegmentation.InsideBox"
LESIONS_ATTRIBUTE = "FactorizerSegmentation.Lesions"
TABLE_ROLE = "Lesions"

_SAME_MM = 0.5
"""How far the centres of a lesion may be apart when it is measured twice."""

UNDECIDED, ACCEPTED, REJECTED = "", "accepted", "rejected"
"""What a user may have said about a lesion."""


def createLesionTable(scene, lesions: Iterable[Lesion], name: str):
    """A new vtkMRMLTableNode with one row per lesion, its parts in columns that carry the units."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, "Lesions")
    _fill(node, list(lesions), {})
    return node


def listLesions(segmentationNode, tableNode) -> None:
    """Note which table lists the lesions of a segmentation, by whose numbers they are called."""
    if lesionTableOf(segmentationNode) is not tableNode:
        segmentationNode.SetNodeReferenceID(TABLE_ROLE, tableNode.GetID())


def lesionTableOf(segmentationNode):
    """See `listLesions`; None if none does, or it was deleted."""
    return segmentationNode.GetNodeReference(TABLE_ROLE)


def updateLesions(tableNode, measured: Iterable[Lesion]) -> None:
    """Replace the lesions by others, of which those with numbers from before keep their verdicts.

    Rejected lesions, which are not in the segments, stay in the table.
    """
    verdicts, lesions = verdictsOf(tableNode), list(measured)
    numbers = {lesion.id for lesion in lesions}
    lesions += [lesion for lesion in rejectedIn(tableNode) if lesion.id not in numbers]
    _refill(tableNode, lesions, verdicts)


def noteLikeness(tableNode, explained: Iterable[Lesion]) -> None:
    """Take over how like true lesions those are that were explained, if they are as they were."""
    verdicts, known = verdictsOf(tableNode), lesionsOf(tableNode)
    told = [lesion for lesion in explained if lesion.likeness is not None]
    lesions = [
        next((replace(own, likeness=it.likeness) for it in told if _same(own, it)), own)
        for own in known
    ]
    if lesions == known:
        return
    _refill(tableNode, lesions, verdicts)


def renameClasses(tableNode, names: Mapping[int, str]) -> None:
    """Call the parts of the lesions as their classes are called now, by label value."""
    verdicts, known = verdictsOf(tableNode), lesionsOf(tableNode)
    lesions = [_renamed(lesion, names) for lesion in known]
    if lesions == known:
        return
    _refill(tableNode, lesions, verdicts)


def _renamed(lesion: Lesion, names: Mapping[int, str]) -> Lesion:
    parts = (replace(part, name=names.get(part.label, part.name)) for part in lesion.parts)
    return replace(lesion, parts=tuple(parts))


def _same(one: Lesion, other: Lesion) -> bool:
    return math.dist(one.centroid_ras, other.centroid_ras) < _SAME_MM


def follow(tableNode, world: np.ndarray) -> bool:
    """Take the lesions along to where their scan is now (4x4, voxel to world).

    Their sizes stay what they are, until they are measured anew.

    Returns:
        Whether they have moved.
    """
    matrix = movement(tableNode, world)
    if matrix is None:
        return False
    verdicts = verdictsOf(tableNode)
    _refill(tableNode, [_moved(lesion, matrix) for lesion in lesionsOf(tableNode)], verdicts)
    return True


def _moved(lesion: Lesion, matrix: np.ndarray) -> Lesion:
    point = partial(movedPoint, matrix)

    def axes(item: Measures) -> dict[str, Any]:
        rulers = {"long_axis": item.long_axis, "short_axis": item.short_axis}
        return {key: Ruler(point(it.start), point(it.end)) for key, it in rulers.items()}

    parts = tuple(replace(part, **axes(part)) for part in lesion.parts)
    return replace(lesion, centroid_ras=point(lesion.centroid_ras), parts=parts, **axes(lesion))


def markBoxed(tableNode, boxed: bool) -> None:
    """Say whether the lesions of a table are only those inside a box."""
    tableNode.SetAttribute(BOX_ATTRIBUTE, "1" if boxed else None)


def isBoxed(tableNode) -> bool:
    """See `markBoxed`."""
    return tableNode.GetAttribute(BOX_ATTRIBUTE) is not None


def lesionsOf(tableNode) -> list[Lesion]:
    """The lesions of a table that `createLesionTable` made, largest first; none of other tables."""
    try:
        lesions = [
            Lesion.from_dict(item)
            for item in json.loads(tableNode.GetAttribute(LESIONS_ATTRIBUTE) or "[]")
        ]
    except (TypeError, ValueError, ProtocolError):  # a scene file can hold anything
        return []
    return sorted(lesions, key=lambda lesion: -lesion.volume_ml)


def rejectedIn(tableNode) -> list[Lesion]:
    """The lesions of a table that were rejected, and so have left the segments."""
    verdicts = verdictsOf(tableNode)
    return [lesion for lesion in lesionsOf(tableNode) if verdicts.get(lesion.id) == REJECTED]


def presentIn(tableNode) -> list[Lesion]:
    """The lesions of a table that are in the segments; where a rejected one was, there is none."""
    verdicts = verdictsOf(tableNode)
    return [lesion for lesion in lesionsOf(tableNode) if verdicts.get(lesion.id) != REJECTED]


def lesionsText(tableNode) -> str:
    """What a table tells of its lesions, as a text by which a change is known."""
    return tableNode.GetAttribute(LESIONS_ATTRIBUTE) or ""


def verdictsOf(tableNode) -> dict[int, str]:
    """What the user has said about each lesion, by its id."""
    table = tableNode.GetTable()
    verdicts = {}
    for row in range(table.GetNumberOfRows()):
        number, verdict = (table.GetValueByName(row, title) for title in (ID, VERDICT))
        verdicts[number.ToInt()] = verdict.ToString()
    return verdicts


def setVerdict(tableNode, lesionId: int, verdict: str) -> None:
    """Write down what the user says about a lesion."""
    table = tableNode.GetTable()
    for row in range(table.GetNumberOfRows()):
        if table.GetValueByName(row, ID).ToInt() == lesionId:
            table.SetValueByName(row, VERDICT, vtk.vtkVariant(verdict))
    tableNode.Modified()


def placeText(lesion: Lesion) -> str:
    """Where a lesion lies, in the user's language."""
    return placeWords(lesion.place)


def placeWords(place: Sequence[str]) -> str:
    """The words of a place, in the user's language."""
    words = {
        "right": _("right"),
        "left": _("left"),
        "both sides": _("both sides"),
        "anterior": _("anterior"),
        "posterior": _("posterior"),
        "superior": _("superior"),
        "inferior": _("inferior"),
    }
    return ", ".join(words.get(word, word) for word in place)


def _refill(node, lesions: Sequence[Lesion], verdicts: Mapping[int, str]) -> None:
    with slicer.util.NodeModify(node):
        node.RemoveAllColumns()
        _fill(node, lesions, verdicts)


def _fill(node, lesions: Sequence[Lesion], verdicts: Mapping[int, str]) -> None:
    node.SetAttribute(LESIONS_ATTRIBUTE, json.dumps([lesion.to_dict() for lesion in lesions]))
    addColumn(node, vtk.vtkIntArray(), ID, [lesion.id for lesion in lesions])
    addColumn(
        node, vtk.vtkStringArray(), VERDICT, [verdicts.get(item.id, UNDECIDED) for item in lesions]
    )
    addColumn(node, vtk.vtkStringArray(), PLACE, [", ".join(item.place) for item in lesions])
    for axis, title in enumerate(CENTROID):
        addColumn(node, vtk.vtkDoubleArray(), title, [item.centroid_ras[axis] for item in lesions])
    _addMeasures(node, "", lesions)
    for label, title in _classes(lesions).items():
        parts = [_partOf(lesion, label) for lesion in lesions]
        _addMeasures(node, f"{title}: ", parts)
    addColumn(node, vtk.vtkDoubleArray(), EDITED, [lesion.edited_ml for lesion in lesions])
    alarms = ["perhaps" if lesion.is_doubtful else "" for lesion in lesions]
    addColumn(node, vtk.vtkStringArray(), FALSE_ALARM, alarms)
    node.SetUseColumnTitleAsColumnHeader(True)


def _classes(lesions: Sequence[Lesion]) -> dict[int, str]:
    return {part.label: part.name for lesion in lesions for part in lesion.parts}


def _partOf(lesion: Lesion, label: int) -> Measures | None:
    return next((part for part in lesion.parts if part.label == label), None)


def _addMeasures(node, prefix: str, items: Sequence[Measures | None]) -> None:
    columns = zip(*(_measures(item) for item in items), strict=True) if items else [()] * 6
    for title, values in zip(MEASURES, columns, strict=True):
        addColumn(node, vtk.vtkDoubleArray(), prefix + title, values)


def _measures(item: Measures | None) -> tuple[float, ...]:
    """In the order of `MEASURES`; a class that is not there has no volume, and no size."""
    if item is None:
        return (0.0, *[float("nan")] * 5)
    return (
        item.volume_ml,
        item.max_diameter_mm,
        item.long_axis.length_mm,
        item.short_axis.length_mm,
        item.product_mm2,
        item.mean_probability,
    )


def addColumn(node, array, title: str, values) -> None:
    """Give a table node a column of values, in a VTK array that takes them."""
    array.SetName(title)
    for value in values:
        array.InsertNextValue(value)
    node.AddColumn(array)
