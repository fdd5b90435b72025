"""What became of lesions, as nodes: a table for people, one of volumes, and their plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from factorizer_engine.protocol.follow_up import (
    GONE,
    GROWN,
    NEW,
    SHRUNK,
    STABLE,
    TimePoint,
)
from factorizer_engine.protocol.lesions import volume_by_class
from factorizer_engine.protocol.messages import ProtocolError
from factorizer_engine.protocol.tasks.follow_up import FollowUpResult
from FactorizerSegmentationLib.scene.tables import (
    addColumn,
    isBoxed,
    lesionsOf,
    placeWords,
    presentIn,
)
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

RESULT_ATTRIBUTE = "FactorizerSegmentation.FollowUp"


def createChangesTable(scene, result: FollowUpResult, name: str):
    """A new table node with one row per lesion, or per lesions that merged or were split."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    node.SetAttribute(ROLE_ATTRIBUTE, "Changes")
    node.SetAttribute(RESULT_ATTRIBUTE, json.dumps(result.to_dict()))
    changes = result.changes
    columns: Mapping[str, tuple[type, Sequence[object]]] = {
        _("Change"): (vtk.vtkStringArray, [kindText(change.kind) for change in changes]),
        _("Earlier"): (vtk.vtkStringArray, [_ids(change.before) for change in changes]),
        _("Later"): (vtk.vtkStringArray, [_ids(change.after) for change in changes]),
        _("Place"): (vtk.vtkStringArray, [placeWords(change.place) for change in changes]),
        _("Before [mL]"): (vtk.vtkDoubleArray, [change.before_ml for change in changes]),
        _("After [mL]"): (vtk.vtkDoubleArray, [change.after_ml for change in changes]),
        _("Change [mL]"): (vtk.vtkDoubleArray, [change.change_ml for change in changes]),
        _("Change [%]"): (vtk.vtkDoubleArray, [change.change_percent for change in changes]),
    }
    for title, (kind, values) in columns.items():
        addColumn(node, kind(), title, values)
    node.SetUseColumnTitleAsColumnHeader(True)
    return node


def changesOf(tableNode) -> FollowUpResult | None:
    """What `createChangesTable` was given; None for other tables."""
    try:
        return FollowUpResult.from_dict(json.loads(tableNode.GetAttribute(RESULT_ATTRIBUTE) or ""))
    except (TypeError, ValueError, ProtocolError):  # a scene file can hold anything
        return None


def isOutdated(result: FollowUpResult, tableNode) -> bool:
    """Whether the last study has other volumes by now than when it was compared.

    Args:
        tableNode: The lesions of the last study as they are. Classes that were renamed since say
            nothing, nor do lesions inside a box.
    """
    if isBoxed(tableNode):
        return False
    compared, now = result.points[-1].volumes_ml, volume_by_class(presentIn(tableNode))
    known = {part.name for lesion in lesionsOf(tableNode) for part in lesion.parts}
    return any(
        not math.isclose(now.get(name, 0.0), compared[name], rel_tol=1e-6, abs_tol=1e-9)
        for name in known & set(compared)
    )


def createVolumePlot(
    scene, points: Sequence[TimePoint], colors: Mapping[str, tuple[float, float, float]], name: str
):
    """A table of volumes by study, and a chart node with a line for each class.

    Args:
        colors: By class, red, green and blue from 0 to 1.

    Returns:
        The vtkMRMLPlotChartNode.
    """
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    table.SetAttribute(ROLE_ATTRIBUTE, "Volumes")
    study, number = _("Study"), _("Number")
    addColumn(table, vtk.vtkStringArray(), study, [point.name for point in points])
    addColumn(table, vtk.vtkDoubleArray(), number, range(1, len(points) + 1))
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(name))
    chart.SetTitle(name)
    chart.SetXAxisTitle(study)
    chart.SetYAxisTitle("mL")
    for label in dict.fromkeys(label for point in points for label in point.volumes_ml):
        values = [point.volumes_ml.get(label, 0.0) for point in points]
        addColumn(table, vtk.vtkDoubleArray(), label, values)
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", label)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(number)
        series.SetYColumnName(label)
        series.SetLabelColumnName(study)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        series.SetColor(*colors.get(label, (0.5, 0.5, 0.5)))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    table.SetUseColumnTitleAsColumnHeader(True)
    return chart


def kindText(kind: str) -> str:
    """What became of a lesion, in the user's language."""
    words = {
        NEW: _("new"),
        GROWN: _("grown"),
        STABLE: _("stable"),
        SHRUNK: _("shrunk"),
        GONE: _("gone"),
    }
    return words.get(kind, kind)


def _ids(numbers: Sequence[int]) -> str:
    return " + ".join(map(str, numbers))
