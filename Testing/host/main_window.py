"""The main window: a module panel at the left, the slice views at the right."""

from __future__ import annotations

import qt
import slicer
from PySide6 import QtCore, QtWidgets

from host.wrapping import wraps_slicer_class

PANEL_WIDTH = 420


@wraps_slicer_class
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):  # noqa: N801
    """Chooses the module that the panel shows."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, parent) -> None:
        super().__init__("Module Selection", parent)
        self._selected = ""
        self.setMovable(False)
        self.addWidget(QtWidgets.QLabel(" Modules: "))
        self._combo = QtWidgets.QComboBox()
        self._combo.setMinimumWidth(240)
        self.addWidget(self._combo)
        self._combo.connect("activated(int)", self._onActivated)

    selectedModule = property(lambda self: self._selected)

    def selectModule(self, name: str) -> None:
        """Show a module; an unknown name is taken without complaint, as in Slicer."""
        if name != self._selected:
            self._selected = name
            self._combo.currentIndex = self._combo.findData(name)
            self.moduleSelected.emit(name)

    def _onActivated(self, index: int) -> None:
        self.selectModule(self._combo.itemData(index))

    def _add(self, module) -> None:
        self._combo.addItem(module.title or module.name, module.name)


class _ModuleArea(QtWidgets.QScrollArea):
    """As wide as its dock, and as forgetful of heights as the module panel of a real Slicer.

    The heights that the parts of a module ask for are looked at when the module is shown and when
    the dock gets another width. A part that grows later is squeezed rather than scrolled, unless it
    insists on its height by its `minimumHeight`.
    """

    def __init__(self, parent) -> None:
        super().__init__(parent)
        self.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        self._heights: dict[object, int] = {}
        self._measuredWidth = 0

    def _show(self, representation) -> None:
        self.setWidget(representation)
        representation.installEventFilter(self)
        self._measure()

    def _take(self):
        representation = self.takeWidget()
        representation.removeEventFilter(self)
        return representation

    def eventFilter(self, watched, event) -> bool:
        if watched is self.widget() and event.type() == qt.QEvent.LayoutRequest:
            self._arrange()
        return False

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width() and self.widget() is not None:
            self._arrange()  # the viewport may have got a scroll bar
            if self.width != self._measuredWidth:
                self._measure()

    def _measure(self) -> None:
        self._measuredWidth = self.width
        self._heights = {part: self._wanted(part) for part in self._parts()}
        self._arrange()

    def _arrange(self) -> None:
        layout = self.widget().layout()
        parts = self._parts()
        margins = layout.contentsMargins()
        height = margins.top() + margins.bottom() + layout.spacing * max(0, len(parts) - 1)
        for part in parts:
            remembered = min(self._heights.get(part, 0), self._wanted(part))
            height += max(part.minimumHeight, remembered)
        view = self.viewport()
        self.widget().resize(view.width, max(view.height, height))

    def _parts(self) -> list:
        layout = self.widget().layout()
        widgets = [layout.itemAt(index).widget() for index in range(layout.count())]
        return [part for part in widgets if part is not None and not part.isHidden()]

    def _wanted(self, part) -> int:
        hint = part.minimumSizeHint
        least = (hint() if callable(hint) else hint).height()  # a host class overrides a method
        return max(least, part.heightForWidth(part.width)) if part.hasHeightForWidth() else least


@wraps_slicer_class
class qSlicerModulePanel(QtWidgets.QWidget):  # noqa: N801
    """Shows the widget of the selected module, and tells it that it enters or leaves."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._current = None
        self._scroll = _ModuleArea(self)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._scroll)

    def setModule(self, name: str) -> None:
        module = getattr(slicer.modules, str(name).lower(), None)
        representation = module.widgetRepresentation() if hasattr(module, "path") else None
        if self._current is not None:
            self._current.exit()
            self._scroll._take().setParent(None)
        self._current = representation
        if representation is not None:
            self._scroll._show(representation)
            representation.show()
            representation.enter()


@wraps_slicer_class
class qSlicerMainWindow(QtWidgets.QMainWindow):  # noqa: N801
    """Slicer's window as far as modules notice it."""

    def __init__(self) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self.windowTitle = "3D Slicer (stand-in host)"
        self._selector = qSlicerModuleSelectorToolBar(self)
        self.addToolBar(self._selector)
        self._panel = qSlicerModulePanel(self)
        self._panel.objectName = "ModulePanel"
        self._panel.setMinimumWidth(PANEL_WIDTH)
        dock = QtWidgets.QDockWidget("", self)
        dock.objectName = "PanelDockWidget"
        dock.setTitleBarWidget(QtWidgets.QWidget(dock))
        dock.setWidget(self._panel)
        self.addDockWidget(qt.Qt.LeftDockWidgetArea, dock)
        self._viewport = QtWidgets.QWidget(self)
        self.setCentralWidget(self._viewport)
        self.statusBar()
        self._selector.connect("moduleSelected(QString)", self._panel.setModule)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector


def install() -> None:
    """Publish the classes in the `slicer` namespace."""
    for cls in (qSlicerModuleSelectorToolBar, qSlicerModulePanel, qSlicerMainWindow):
        setattr(slicer, cls.__name__, cls)
