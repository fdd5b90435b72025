"""A view drawn offscreen and shown as a picture, with the mouse passed on to VTK.

No OpenGL window is embedded, so views work under Xvfb, on Qt's offscreen platform and in
screenshots alike.
"""

from __future__ import annotations

import qt
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

RENDER_DELAY_MS = 30
FRAMES = 2
"""Displayable managers complete what they show after a first frame."""


class PictureView(QtWidgets.QWidget):
    """Base of the slice and 3D views.

    Args:
        view: A `SliceView` or `ThreeDView`.
        observed: VTK objects and their events after which the view is drawn anew.
    """

    def __init__(self, view, observed, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        self._picture = None
        self._frames = 0
        self.setMouseTracking(True)
        self.setMinimumSize(120, 120)
        for caller, event in observed:
            caller.AddObserver(event, lambda caller, event: self.scheduleRender())

    def renderWindow(self):
        return self._view.window

    def interactor(self):
        return self._view.interactor

    def interactorStyle(self):
        return self._view.interactorStyle

    def displayableManagerByClassName(self, name: str):
        return self._view.managers.GetDisplayableManagerByClassName(name)

    def scheduleRender(self) -> None:
        """Draw soon; several requests in a row become one."""
        isPending, self._frames = self._frames > 0, FRAMES
        if not isPending:
            QtCore.QTimer.singleShot(RENDER_DELAY_MS, self._renderIfPending)

    def _renderPending(self) -> None:
        """Draw now what is to be drawn soon, if anything is."""
        while self._frames > 0:
            self._renderFrame()

    def forceRender(self) -> None:
        """Draw now."""
        for _ in range(FRAMES):
            self._renderFrame()
        self._frames = 0

    def _renderFrame(self) -> None:
        self._frames -= 1
        pixels = self._view.frame()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
        self._picture = image.copy()
        self.update()

    def _renderIfPending(self) -> None:
        if slicer.app._renderPauses:
            QtCore.QTimer.singleShot(RENDER_DELAY_MS, self._renderIfPending)
        elif self._frames > 0:
            self._renderFrame()
            if self._frames > 0:
                QtCore.QTimer.singleShot(RENDER_DELAY_MS, self._renderIfPending)

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


def colored_bar(widget, color: tuple[float, float, float], height: int = 24):
    """Make a widget the thin coloured bar above a view; returns its layout."""
    widget.setFixedHeight(height)
    widget.setAutoFillBackground(True)
    palette = widget.palette
    palette.setColor(QtGui.QPalette.Window, QtGui.QColor.fromRgbF(*color))
    widget.setPalette(palette)
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(8, 0, 8, 0)
    return layout


def _button(event) -> str:
    names = {qt.Qt.LeftButton: "Left", qt.Qt.RightButton: "Right"}
    return names.get(event.button(), "Middle")
