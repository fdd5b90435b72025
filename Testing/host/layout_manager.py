"""`slicer.app.layoutManager()`: three slice views, arranged as in Slicer's layouts."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets

from host.slice_widget import qMRMLSliceWidget
from host.views import ORIENTATIONS, SliceView
from host.wrapping import wraps_slicer_class

FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
ONE_UP = {
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView: "Red",
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpYellowSliceView: "Yellow",
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpGreenSliceView: "Green",
}


@wraps_slicer_class
class qSlicerLayoutManager(QtCore.QObject):  # noqa: N801
    """Holds the slice views; the host has no 3D, table or plot views."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, core, viewport: QtWidgets.QWidget) -> None:
        super().__init__(viewport)
        self._core = core
        self._layout = 0
        self._widgets: dict[str, qMRMLSliceWidget] = {}
        grid = QtWidgets.QGridLayout(viewport)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        places = {"Red": (0, 0, 1, 2), "Green": (1, 0, 1, 1), "Yellow": (1, 1, 1, 1)}
        for orientation, name in ORIENTATIONS.items():
            widget = qMRMLSliceWidget(SliceView(core.scene, orientation, name=name), viewport)
            widget.setMRMLScene(core.scene)
            grid.addWidget(widget, *places[name])
            self._widgets[name] = widget
        grid.setRowStretch(0, 3)
        grid.setRowStretch(1, 2)

    layout = property(lambda self: self._layout, lambda self, value: self.setLayout(value))
    threeDViewCount = property(lambda self: 0)
    tableViewCount = property(lambda self: 0)
    plotViewCount = property(lambda self: 0)

    def setLayout(self, layout: int) -> None:
        if layout == self._layout:
            return
        self._layout = layout
        only = ONE_UP.get(layout)
        for name, widget in self._widgets.items():
            widget.visible = only in (None, name)
        self.layoutChanged.emit(layout)

    def mrmlScene(self):
        return self._core.scene

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._widgets.get(name)

    def threeDWidget(self, index: int) -> None:
        return None

    def mrmlSliceLogics(self):
        return self._core.sliceLogics

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """There are none."""

    def pauseRender(self) -> None:
        slicer.app.pauseRender()

    def resumeRender(self) -> None:
        slicer.app.resumeRender()


def install() -> None:
    """Publish the class in the `slicer` namespace."""
    slicer.qSlicerLayoutManager = qSlicerLayoutManager
