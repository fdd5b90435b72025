"""The module `ctk`: the widgets of the Common Toolkit that .ui files use."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import qt
from PySide6 import QtCore, QtWidgets

from host.wrapping import Field, wraps_slicer_class

HEADER_HEIGHT = 26


@wraps_slicer_class
class ctkCollapsibleButton(QtWidgets.QAbstractButton):  # noqa: N801
    """A titled section that folds away."""

    contentsCollapsed = QtCore.Signal(bool)
    collapsed = Field(False)
    flat = Field(False)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._folded = []
        self._stated = False
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.connect("toggled(bool)", self._onToggled)

    def _onToggled(self, checked: bool) -> None:
        if checked == self.collapsed:
            self.collapsed = not checked

    def _changed(self, name: str) -> None:
        if name != "collapsed":
            self.update()
            return
        if self.collapsed == self._stated:  # as it was
            return
        self._stated = self.collapsed
        self.checked = not self.collapsed
        if self.collapsed:
            children = [child for child in self.children() if child.isWidgetType()]
            self._folded = [child for child in children if not child.isHidden()]
        for child in self._folded:
            child.setVisible(not self.collapsed)
        self.maximumHeight = HEADER_HEIGHT if self.collapsed else 16777215
        self.updateGeometry()
        self.contentsCollapsed.emit(self.collapsed)

    def hitButton(self, position) -> bool:
        return position.y() <= HEADER_HEIGHT

    def sizeHint(self):
        inner = qt.QSize() if self._bare else self.layout().totalSizeHint()
        return inner.expandedTo(self.minimumSizeHint())

    def minimumSizeHint(self):
        inner = qt.QSize() if self._bare else self.layout().totalMinimumSize()
        return inner.expandedTo(qt.QSize(100, HEADER_HEIGHT))

    @property
    def _bare(self) -> bool:
        """Whether there is just the header to see."""
        return self.collapsed or self.layout() is None

    def paintEvent(self, event) -> None:
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, HEADER_HEIGHT - 2)
        option.text = "   " + self.text
        painter = QtWidgets.QStylePainter(self)
        painter.fillRect(option.rect, self.palette.button())
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (HEADER_HEIGHT - 12) // 2, 10, 10)
        style = QtWidgets.QStyle
        shape = style.PE_IndicatorArrowRight if self.collapsed else style.PE_IndicatorArrowDown
        painter.drawPrimitive(shape, arrow)
        font = self.font
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(option.rect.adjusted(22, 0, 0, 0), qt.Qt.AlignVCenter, self.text)
        painter.end()


@wraps_slicer_class
class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider with a spin box for a floating-point value."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimals = Field(2)
    singleStep = Field(1.0)
    pageStep = Field(10.0)
    minimum = Field(0.0)
    maximum = Field(99.0)
    prefix = Field("")
    suffix = Field("")
    tracking = Field(True)
    spinBoxVisible = Field(True)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._current = 0.0
        self._slider = QtWidgets.QSlider(qt.Qt.Horizontal, self)
        self._spinBox = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spinBox)
        self._slider.connect("valueChanged(int)", self._onSlider)
        self._spinBox.connect("valueChanged(double)", self._setCurrent)
        self._changed("maximum")

    def _changed(self, name: str) -> None:
        self._spinBox.blockSignals(True)
        self._slider.blockSignals(True)
        self._spinBox.decimals = self.decimals
        self._spinBox.singleStep = self.singleStep
        self._spinBox.setRange(self.minimum, self.maximum)
        self._spinBox.prefix, self._spinBox.suffix = self.prefix, self.suffix
        self._spinBox.visible = self.spinBoxVisible
        self._slider.setRange(0, max(0, self._steps(self.maximum)))
        self._slider.blockSignals(False)
        self._spinBox.blockSignals(False)
        self._setCurrent(min(max(self._current, self.minimum), self.maximum))

    def _steps(self, value: float) -> int:
        return round((value - self.minimum) / self.singleStep)

    def _onSlider(self, steps: int) -> None:
        value = self.minimum + steps * self.singleStep
        self.valueIsChanging.emit(value)
        self._setCurrent(value)

    def _setCurrent(self, value: float) -> None:
        value = round(min(max(float(value), self.minimum), self.maximum), self.decimals)
        changed, self._current = value != self._current, value
        for widget, shown in ((self._spinBox, value), (self._slider, self._steps(value))):
            widget.blockSignals(True)
            widget.value = shown
            widget.blockSignals(False)
        if changed:
            self.valueChanged.emit(value)

    value = property(lambda self: self._current, _setCurrent)
    setValue = _setCurrent


@wraps_slicer_class
class ctkPathLineEdit(QtWidgets.QWidget):  # noqa: N801
    """A line for a file or folder with a button to browse for it."""

    currentPathChanged = QtCore.Signal(str)
    currentPath = Field("")
    settingKey = Field("")
    showBrowseButton = Field(True)
    showHistoryButton = Field(True)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._line = QtWidgets.QLineEdit(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        self._line.connect("textChanged(QString)", lambda text: setattr(self, "currentPath", text))

    def addCurrentPathToHistory(self) -> None:
        """The host keeps no history."""

    def _changed(self, name: str) -> None:
        if name == "currentPath":
            if self._line.text != self.currentPath:
                self._line.text = self.currentPath
            self.currentPathChanged.emit(self.currentPath)


@wraps_slicer_class
class ctkDirectoryButton(QtWidgets.QWidget):  # noqa: N801
    """A button that shows and changes a folder."""

    directoryChanged = QtCore.Signal(str)
    directory = Field(str(Path(".").resolve()))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._button = QtWidgets.QPushButton(self.directory, self)
        QtWidgets.QHBoxLayout(self).addWidget(self._button)

    def _changed(self, name: str) -> None:
        self._button.text = self.directory
        self.directoryChanged.emit(self.directory)


@wraps_slicer_class
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):  # noqa: N801
    """A group box whose contents fold away."""

    collapsed = Field(False)

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.connect("toggled(bool)", lambda on: setattr(self, "collapsed", not on))

    def _changed(self, name: str) -> None:
        self.checked = not self.collapsed
        self.maximumHeight = 22 if self.collapsed else 16777215


def _same_as(base: type, name: str) -> type:
    """A class of ctk that adds nothing here to the Qt class that it extends."""
    return wraps_slicer_class(type(name, (base,), {}))


@wraps_slicer_class
class ctkMessageBox(QtWidgets.QMessageBox):  # noqa: N801
    """A message box that can be told not to come again."""

    dontShowAgain = Field(False)
    dontShowAgainSettingsKey = Field("")
    dontShowAgainVisible = Field(False)

    def _changed(self, name: str) -> None:
        """Nothing to show here."""


CLASSES = {
    cls.__name__: cls
    for cls in (
        ctkCollapsibleButton,
        ctkSliderWidget,
        ctkPathLineEdit,
        ctkDirectoryButton,
        ctkCollapsibleGroupBox,
        ctkMessageBox,
        _same_as(QtWidgets.QComboBox, "ctkComboBox"),
        _same_as(QtWidgets.QCheckBox, "ctkCheckBox"),
        _same_as(QtWidgets.QPushButton, "ctkPushButton"),
        _same_as(QtWidgets.QDoubleSpinBox, "ctkDoubleSpinBox"),
    )
}


def install() -> types.ModuleType:
    """Publish the module `ctk`; returns it."""
    if "ctk" not in sys.modules:
        ctk = types.ModuleType("ctk", "The recorded classes of Slicer's ctk module.")
        vars(ctk).update(CLASSES)
        sys.modules["ctk"] = ctk
    return sys.modules["ctk"]
