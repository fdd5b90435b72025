"""`slicer.app.layoutManager()`: three slice views and a 3D view, arranged as in Slicer."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import slicer
from PySide6 import QtCore, QtWidgets

from host.slice_widget import qMRMLSliceWidget
from host.three_d_view import ThreeDView
from host.three_d_widget import qMRMLThreeDWidget
from host.views import ORIENTATIONS, SliceView
from host.wrapping import wraps_slicer_class

THREE_D = "1"
PLACES = {"Red": (0, 0), THREE_D: (0, 1), "Green": (1, 0), "Yellow": (1, 1)}
FIRST_OWN = 1000
"""From here on layouts are not Slicer's own."""
ONE_UP = {
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView: "Red",
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpYellowSliceView: "Yellow",
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpGreenSliceView: "Green",
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView: THREE_D,
}


@wraps_slicer_class
class qSlicerLayoutManager(QtCore.QObject):  # noqa: N801
    """Holds the views; a layout that is neither a single view nor a module's looks like four-up."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, core, viewport: QtWidgets.QWidget) -> None:
        super().__init__(viewport)
        self._core = core
        self._layout = 0
        self._slices = {
            name: qMRMLSliceWidget(SliceView(core.scene, orientation, name=name), viewport)
            for orientation, name in ORIENTATIONS.items()
        }
        self._threeD = qMRMLThreeDWidget(ThreeDView(core.scene, name=THREE_D), viewport)
        self._widgets = {**self._slices, THREE_D: self._threeD}
        self._viewport = viewport
        self._grid = QtWidgets.QGridLayout(viewport)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        for widget in self._widgets.values():
            widget.setMRMLScene(core.scene)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(core.scene)
        self._arrange(PLACES)

    layout = property(lambda self: self._layout, lambda self, value: self.setLayout(value))
    threeDViewCount = property(lambda self: 1)
    tableViewCount = property(lambda self: 0)
    plotViewCount = property(lambda self: 0)

    def setLayout(self, layout: int) -> None:
        if layout == self._layout:
            return
        self._layout = layout
        only = ONE_UP.get(layout)
        places = self._described(layout) or PLACES
        self._arrange({name: place for name, place in places.items() if only in (None, name)})
        self.layoutChanged.emit(layout)

    def layoutLogic(self):
        return self._logic

    def _arrange(self, places) -> None:
        """Show some views, each in a row and a column."""
        for name, widget in self._widgets.items():
            widget.visible = name in places
            if name in places:
                self._grid.addWidget(widget, *places[name])

    def _described(self, layout: int) -> dict[str, tuple[int, int]]:
        """The places of the slice views of a layout that a module has described, row by row."""
        node = self._logic.GetLayoutNode()
        if layout < FIRST_OWN or node is None or not node.IsLayoutDescription(layout):
            return {}
        places = {}
        for row, item in enumerate(ElementTree.fromstring(node.GetLayoutDescription(layout))):
            for column, view in enumerate(item.iter("view")):
                name = view.get("singletontag")
                places[name] = (row, column)
                if name not in self._widgets:
                    self._add(name, view.findtext("property[@name='orientation']"))
        return places

    def _add(self, name: str, orientation: str) -> None:
        widget = qMRMLSliceWidget(
            SliceView(self._core.scene, orientation, name=name), self._viewport
        )
        widget.setMRMLScene(self._core.scene)
        self._slices[name] = self._widgets[name] = widget

    def mrmlScene(self):
        return self._core.scene

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> qMRMLThreeDWidget | None:
        return self._threeD if index == 0 else None

    def mrmlSliceLogics(self):
        return self._core.sliceLogics

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        self._threeD.threeDView().resetCamera()

    def pauseRender(self) -> None:
        slicer.app.pauseRender()

    def resumeRender(self) -> None:
        slicer.app.resumeRender()


def install() -> None:
    """Publish the class in the `slicer` namespace."""
    slicer.qSlicerLayoutManager = qSlicerLayoutManager
