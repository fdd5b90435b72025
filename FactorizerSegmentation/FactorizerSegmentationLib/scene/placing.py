"""One click into a view, for a place in the scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from factorizer_engine.protocol.triples import triple
from FactorizerSegmentationLib.scene.place_mode import placeInto, placingInto, stopPlacing
from FactorizerSegmentationLib.scene.removing import removeWithDisplays

Point = tuple[float, float, float]


class PointPlacement:
    """Waits for a click into any view, as placing a markup does, and leaves no markup behind.

    Args:
        onPlaced: Called with the place, RAS in mm in the world.
        onEnded: Called when nothing is waited for any more, for whatever reason.
    """

    def __init__(self, onPlaced: Callable[[Point], None], onEnded: Callable[[], None]) -> None:
        self._onPlaced = onPlaced
        self._onEnded = onEnded
        self._node: Any = None
        self._observed: list[tuple[Any, int]] = []

    @property
    def waiting(self) -> bool:
        """Whether a click is waited for."""
        return self._node is not None

    def start(self, scene) -> None:
        """Wait for one click."""
        self.stop()
        node = slicer.vtkMRMLMarkupsFiducialNode()
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetPointLabelsVisibility(False)
        self._node = node
        placeInto(node)
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self._observe(node, node.PointPositionDefinedEvent, self._onPoint)
        self._observe(interaction, interaction.InteractionModeChangedEvent, self._onMode)

    def stop(self) -> None:
        """Wait no more."""
        if self._node is None:
            return
        for item, tag in self._observed:
            item.RemoveObserver(tag)
        self._observed.clear()
        node, self._node = self._node, None
        if placingInto(node):
            stopPlacing()
        if node.GetScene() is not None:
            removeWithDisplays(node)
        self._onEnded()

    def _observe(self, item, event, function: Callable) -> None:
        self._observed.append((item, item.AddObserver(event, function)))

    def _onPoint(self, caller, event) -> None:
        place = [0.0, 0.0, 0.0]
        caller.GetNthControlPointPositionWorld(0, place)
        # Not in the view's own event: the markup is still being handled there.
        qt.QTimer.singleShot(0, lambda: self._finish(caller, triple(place)))

    def _onMode(self, caller, event) -> None:
        node = self._node
        qt.QTimer.singleShot(0, lambda: self._giveUp(node))

    def _finish(self, node, place: Point) -> None:
        if node is self._node:
            self.stop()
            self._onPlaced(place)

    def _giveUp(self, node) -> None:
        if node is None or node is not self._node or placingInto(node):
            return
        if node.GetNumberOfDefinedControlPoints() == 0:
            self.stop()
