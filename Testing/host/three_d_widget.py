"""The 3D view as widget."""

from __future__ import annotations

import slicer
from PySide6 import QtWidgets

from host.picture_view import PictureView, colored_bar
from host.qmrml_widgets import qMRMLWidget
from host.three_d_view import ThreeDView
from host.wrapping import wraps_slicer_class

BAR_COLOR = (0.455, 0.455, 0.819)


@wraps_slicer_class
class qMRMLThreeDView(PictureView):  # noqa: N801
    """The picture of one 3D view."""

    def __init__(self, view: ThreeDView, parent=None) -> None:
        observed = (
            (view.managers, "UpdateEvent"),
            (view.node, "ModifiedEvent"),
            (view.renderer.GetActiveCamera(), "ModifiedEvent"),
        )
        super().__init__(view, observed, parent)

    def mrmlViewNode(self):
        return self._view.node

    def cameraNode(self):
        return self._view.logic.GetCameraNode()

    def resetCamera(self) -> None:
        self._view.reset_camera()
        self.scheduleRender()


@wraps_slicer_class
class qMRMLThreeDViewControllerWidget(qMRMLWidget):  # noqa: N801
    """The bar above a 3D view."""

    def __init__(self, view: qMRMLThreeDView, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        colored_bar(self, BAR_COLOR).addWidget(QtWidgets.QLabel("1", self))

    def mrmlThreeDViewNode(self):
        return self._view.mrmlViewNode()

    def resetFocalPoint(self) -> None:
        self._view.resetCamera()


@wraps_slicer_class
class qMRMLThreeDWidget(qMRMLWidget):  # noqa: N801
    """A 3D view with its bar."""

    def __init__(self, view: ThreeDView, parent=None) -> None:
        super().__init__(parent)
        self._logic = view.logic
        self._threeDView = qMRMLThreeDView(view, self)
        self._controller = qMRMLThreeDViewControllerWidget(self._threeDView, self)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._controller)
        layout.addWidget(self._threeDView, 1)

    def threeDView(self) -> qMRMLThreeDView:
        return self._threeDView

    def threeDController(self) -> qMRMLThreeDViewControllerWidget:
        return self._controller

    def mrmlViewNode(self):
        return self._threeDView.mrmlViewNode()

    def viewLogic(self):
        return self._logic


CLASSES = {
    cls.__name__: cls
    for cls in (qMRMLThreeDView, qMRMLThreeDViewControllerWidget, qMRMLThreeDWidget)
}


def install() -> None:
    """Publish the classes in the `slicer` namespace."""
    vars(slicer).update(CLASSES)
