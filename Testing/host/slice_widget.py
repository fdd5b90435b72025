"""Slice views as widgets: drawn offscreen by Slicer's displayable managers, shown as images.

No OpenGL window is embedded, so the views work under Xvfb, on Qt's offscreen platform and in
screenshots alike. Mouse events go to the real interactor style.
"""

from __future__ import annotations

import qt
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from host.qmrml_widgets import qMRMLWidget
from host.views import VIEW_COLORS, SliceView
from host.wrapping import wraps_slicer_class

RENDER_DELAY_MS = 30
BAR_HEIGHT = 24


@wraps_slicer_class
class qMRMLSliceView(QtWidgets.QWidget):  # noqa: N801
    """The picture of one slice view."""

    def __init__(self, view: SliceView, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        self._picture = None
        self._pending = False
        self.setMouseTracking(True)
        self.setMinimumSize(120, 120)
        for caller, event in (
            (view.managers, "UpdateEvent"),
            (view.node, "ModifiedEvent"),
            (view.composite, "ModifiedEvent"),
            (view.logic, "ModifiedEvent"),
            (view.logic, view.logic.CompositeModifiedEvent),
        ):
            caller.AddObserver(event, lambda caller, event: self.scheduleRender())

    def mrmlSliceNode(self):
        return self._view.node

    def renderWindow(self):
        return self._view.window

    def interactor(self):
        return self._view.interactor

    def interactorStyle(self):
        return self._view.interactorStyle

    def sliceViewInteractorStyle(self):
        return self._view.interactorStyle

    def displayableManagerByClassName(self, name: str):
        return self._view.managers.GetDisplayableManagerByClassName(name)

    def cornerAnnotation(self):
        return self._view.corner

    def scheduleRender(self) -> None:
        """Draw soon; several requests in a row become one."""
        if not self._pending:
            self._pending = True
            QtCore.QTimer.singleShot(RENDER_DELAY_MS, self._renderIfPending)

    def forceRender(self) -> None:
        """Draw now."""
        self._pending = False
        pixels = self._view.image()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
        self._picture = image.copy()
        self.update()

    def _renderIfPending(self) -> None:
        if slicer.app._renderPauses:
            QtCore.QTimer.singleShot(RENDER_DELAY_MS, self._renderIfPending)
        elif self._pending:
            self.forceRender()

    def resizeEvent(self, event) -> None:
        self._view.resize(max(self.width, 1), max(self.height, 1))
        self.scheduleRender()

    def paintEvent(self, event) -> None:
        painter = QtGui.QPainter(self)
        if self._picture is None:
            painter.fillRect(self.rect, qt.QColor(0, 0, 0))
        else:
            painter.drawImage(self.rect, self._picture)
        painter.end()

    def mousePressEvent(self, event) -> None:
        self._pass(event, f"{_button(event)}ButtonPressEvent")

    def mouseReleaseEvent(self, event) -> None:
        self._pass(event, f"{_button(event)}ButtonReleaseEvent")

    def mouseMoveEvent(self, event) -> None:
        self._pass(event, "MouseMoveEvent")

    def enterEvent(self, event) -> None:
        self._view.interactor.InvokeEvent("EnterEvent")

    def leaveEvent(self, event) -> None:
        self._view.interactor.InvokeEvent("LeaveEvent")

    def wheelEvent(self, event) -> None:
        forward = event.angleDelta().y() > 0
        self._pass(event, f"MouseWheel{'Forward' if forward else 'Backward'}Event")

    def _pass(self, event, name: str) -> None:
        position, modifiers = event.position(), event.modifiers()
        control = bool(modifiers & qt.Qt.ControlModifier)
        shift = bool(modifiers & qt.Qt.ShiftModifier)
        interactor = self._view.interactor
        interactor.SetEventInformationFlipY(
            int(position.x()), int(position.y()), int(control), int(shift), "0", 0, None
        )
        interactor.InvokeEvent(name)
        self.scheduleRender()


@wraps_slicer_class
class qMRMLSliceControllerWidget(qMRMLWidget):  # noqa: N801
    """The bar above a slice view: its letter and the slice's position."""

    def __init__(self, view: SliceView, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        self.setFixedHeight(BAR_HEIGHT)
        color = QtGui.QColor.fromRgbF(*VIEW_COLORS.get(view.name, (0.5, 0.5, 0.5)))
        self.setAutoFillBackground(True)
        palette = self.palette
        palette.setColor(QtGui.QPalette.Window, color)
        self.setPalette(palette)
        self._position = QtWidgets.QLabel(self)
        self._slider = QtWidgets.QSlider(qt.Qt.Horizontal, self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(8, 0, 8, 0)
        layout.addWidget(QtWidgets.QLabel(view.name[0], self))
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._position)
        self._slider.connect("valueChanged(int)", view.logic.SetSliceOffset)
        view.node.AddObserver("ModifiedEvent", lambda caller, event: self._update())
        view.logic.AddObserver("ModifiedEvent", lambda caller, event: self._update())
        self._update()

    def mrmlSliceNode(self):
        return self._view.node

    def mrmlSliceCompositeNode(self):
        return self._view.composite

    def sliceLogic(self):
        return self._view.logic

    def fitSliceToBackground(self) -> None:
        self._view.fit()

    def _update(self) -> None:
        offset = self._view.logic.GetSliceOffset()
        letter = {"Axial": "S", "Sagittal": "R", "Coronal": "A"}.get(
            self._view.node.GetOrientation(), ""
        )
        bounds = [0.0] * 6
        self._view.logic.GetSliceBounds(bounds)
        self._slider.blockSignals(True)
        if bounds[4] < bounds[5]:
            self._slider.setRange(round(bounds[4]), round(bounds[5]))
        self._slider.value = round(offset)
        self._slider.blockSignals(False)
        self._position.text = f"{letter}: {offset:.1f} mm"


@wraps_slicer_class
class qMRMLSliceWidget(qMRMLWidget):  # noqa: N801
    """A slice view with its bar."""

    def __init__(self, view: SliceView, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        self._controller = qMRMLSliceControllerWidget(view, self)
        self._sliceView = qMRMLSliceView(view, self)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._controller)
        layout.addWidget(self._sliceView, 1)

    def sliceView(self) -> qMRMLSliceView:
        return self._sliceView

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def sliceLogic(self):
        return self._view.logic

    def mrmlSliceNode(self):
        return self._view.node

    def mrmlSliceCompositeNode(self):
        return self._view.composite

    def fitSliceToBackground(self) -> None:
        self._view.fit()


def _button(event) -> str:
    names = {qt.Qt.LeftButton: "Left", qt.Qt.RightButton: "Right"}
    return names.get(event.button(), "Middle")


def install() -> None:
    """Publish the classes in the `slicer` namespace."""
    for cls in (qMRMLSliceView, qMRMLSliceControllerWidget, qMRMLSliceWidget):
        setattr(slicer, cls.__name__, cls)
