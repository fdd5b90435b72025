"""The panel that says what the model sees under the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import slicer
from slicer.util import VTKObservationMixin

from FactorizerSegmentationLib.panels.components import ComponentsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.pictures import barText
from FactorizerSegmentationLib.scene.explanations import stepOf
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY
from FactorizerSegmentationLib.scene.here import PlaceReader, Reading
from FactorizerSegmentationLib.scene.place_mode import crosshairNode, cursorPlace

LETTERS = 8
"""Of the longest bar."""
_NEUTRAL = "#d6603c"


class HerePanel(Panel, VTKObservationMixin):
    """Probability of each class and strength of each component where the mouse is, as bars.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        components: Lists the components of which is told.
    """

    pack = "components"

    def __init__(self, logic, uiPath: str, components: ComponentsPanel) -> None:
        VTKObservationMixin.__init__(self)
        super().__init__(logic, uiPath)
        self._components = components
        self._reader: PlaceReader | None = None
        self._told: object = None
        self.ui.hereCheckBox.connect("toggled(bool)", self.update)
        components.shown.connect(self.update)

    def boundWidgets(self) -> dict[str, object]:
        return {"explainHere": self.ui.hereCheckBox}

    def forget(self) -> None:
        self.removeObservers()
        self._reader = self._told = None

    def show(self) -> None:
        self.update()

    def update(self, *ignored) -> None:
        if self._parameters is None:
            return
        segmentationNode, steps = self._parameters.segment.segmentation, self._components.steps
        told = (segmentationNode, tuple(stepOf(step, ACTIVITY).key for step in steps))
        if told != self._told:
            self._told, self._reader = told, PlaceReader(segmentationNode, steps)
        usable = self._reader is not None and not self._reader.isEmpty
        self.ui.hereBox.visible = usable
        live = usable and self._logic.inFront and bool(self.ui.hereCheckBox.checked)
        self.ui.hereLabel.visible = live
        self._watch(live)
        if live:
            self._onMoved()

    def onNodesRemoved(self) -> None:
        """A result or its maps may have been deleted in the scene."""
        self._told = None
        self.update()

    def leave(self) -> None:
        self._watch(False)

    def release(self) -> None:
        self._components.shown.disconnect(self.update)
        self.removeObservers()
        super().release()

    def _watch(self, live: bool) -> None:
        """Go along with the mouse, or do not."""
        node, event = crosshairNode(), slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
        if not live or node is None:
            self.removeObservers()
        elif not self.hasObserver(node, event, self._onMoved):
            self.addObserver(node, event, self._onMoved)

    def _onMoved(self, *ignored) -> None:
        if self._reader is None:
            return
        place = cursorPlace()
        classes, components = self._reader.read(place)
        self.ui.hereLabel.text = _table((*classes, *components), known=place is not None)


def _table(readings: Sequence[Reading], known: bool) -> str:
    """Rows of a name, a bar and a percentage, as rich text."""
    rows = []
    for reading in readings:
        color = _NEUTRAL
        if reading.color is not None:
            color = "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in reading.color))
        percent = f"{100 * reading.part:.0f}\u00a0%" if known else "\u2013"
        bar = barText(reading.part, LETTERS) if known else ""
        rows.append(
            f"<tr><td>{escape(reading.title)}</td>"
            f"<td style='color:{color}'>{bar.ljust(LETTERS, chr(0xA0))}</td>"
            f"<td align='right'>{percent}</td></tr>"
        )
    return f"<table width='100%' cellspacing='0'>{''.join(rows)}</table>"
