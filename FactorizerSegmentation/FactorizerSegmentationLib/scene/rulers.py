"""The two diameters of a lesion as lines in the slice in which they were measured."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion, Ruler
from FactorizerSegmentationLib.scene.place_mode import addUnplaced
from FactorizerSegmentationLib.scene.removing import removeWithDisplays

LONG_COLOR, SHORT_COLOR = (1.0, 0.85, 0.2), (0.3, 0.9, 1.0)


class LesionRulers:
    """Two markups lines for the lesion that is looked at; they are no part of the user's data."""

    def __init__(self) -> None:
        self._nodeIds: list[str] = []

    def show(self, scene, lesion: Lesion) -> None:
        """Draw the diameters of a lesion in place of those before."""
        self.hide(scene)
        number = lesion.id
        for ruler, name, color in (
            (lesion.long_axis, _("Lesion {number}, longest diameter"), LONG_COLOR),
            (lesion.short_axis, _("Lesion {number}, perpendicular"), SHORT_COLOR),
        ):
            node = _createLine(scene, ruler, name.format(number=number), color)
            self._nodeIds.append(node.GetID())

    def hide(self, scene) -> None:
        """Take the lines away."""
        for nodeId in self._nodeIds:
            node = scene.GetNodeByID(nodeId)
            if node is not None:
                removeWithDisplays(node)
        self._nodeIds.clear()

    def forget(self) -> None:
        """Drop all state, as when the scene was closed."""
        self._nodeIds.clear()


def _createLine(scene, ruler: Ruler, name: str, color: tuple[float, float, float]):
    node = slicer.vtkMRMLMarkupsLineNode()
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    addUnplaced(scene, node)
    node.CreateDefaultDisplayNodes()
    slicer.util.updateMarkupsControlPointsFromArray(node, np.array([ruler.start, ruler.end]))
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetColor(*color)
    display.SetSelectedColor(*color)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetGlyphScale(1.0)
    display.SetVisibility3D(False)
    return node
