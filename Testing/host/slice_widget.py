"""Slice views as widgets."""

from __future__ import annotations

import qt
import slicer
from PySide6 import QtWidgets

from host.picture_view import PictureView, colored_bar
from host.qmrml_widgets import qMRMLWidget
from host.views import VIEW_COLORS, SliceView
from host.wrapping import wraps_slicer_class

AXIS_LETTERS = {"Axial": "S", "Sagittal": "R", "Coronal": "A"}


@wraps_slicer_class
class qMRMLSliceView(PictureView):  # noqa: N801
    """The picture of one slice view."""

    def __init__(self, view: SliceView, parent=None) -> None:
        observed = (
            (view.managers, "UpdateEvent"),
            (view.node, "ModifiedEvent"),
            (view.composite, "ModifiedEvent"),
            (view.logic, "ModifiedEvent"),
            (view.logic, view.logic.CompositeModifiedEvent),
        )
        super().__init__(view, observed, parent)

    def mrmlSliceNode(self):
        return self._view.node

    def sliceViewInteractorStyle(self):
        return self._view.interactorStyle

    def cornerAnnotation(self):
        return self._view.corner


@wraps_slicer_class
class qMRMLSliceControllerWidget(qMRMLWidget):  # noqa: N801
    """The bar above a slice view: its letter and the slice's position."""

    def __init__(self, view: SliceView, parent=None) -> None:
        super().__init__(parent)
        self._view = view
        self._position = QtWidgets.QLabel(self)
        self._slider = QtWidgets.QSlider(qt.Qt.Horizontal, self)
        layout = colored_bar(self, VIEW_COLORS.get(view.name, (0.5, 0.5, 0.5)))
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
        bounds = [0.0] * 6
        self._view.logic.GetSliceBounds(bounds)
        self._slider.blockSignals(True)
        if bounds[4] < bounds[5]:
            self._slider.setRange(round(bounds[4]), round(bounds[5]))
        self._slider.value = round(offset)
        self._slider.blockSignals(False)
        letter = AXIS_LETTERS.get(self._view.node.GetOrientation(), "")
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


CLASSES = {
    cls.__name__: cls for cls in (qMRMLSliceView, qMRMLSliceControllerWidget, qMRMLSliceWidget)
}


def install() -> None:
    """Publish the classes in the `slicer` namespace."""
    vars(slicer).update(CLASSES)
