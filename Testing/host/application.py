"""The application: everything joined, in one process.

from host.application import HostApplication

host = HostApplication()            # needs a display, or QT_QPA_PLATFORM=offscreen
widget = host.select_module("FactorizerSegmentation")
host.screenshot("window.png")
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from host import pythonqt
from host.core import SlicerCore, start_core

qt = pythonqt.install()

import slicer  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402

from host import ctk_widgets  # noqa: E402

ctk_widgets.install()

from host import (  # noqa: E402
    layout_manager,
    main_window,
    parameter_node,
    qmrml_widgets,
    sample_data,
    scripted_module,
    segment_editor,
    slice_widget,
    three_d_widget,
    ui_loader,
)
from host.io_manager import CoreIOManager  # noqa: E402
from host.picture_view import PictureView  # noqa: E402
from host.wrapping import wraps_slicer_class  # noqa: E402

for _part in (
    qmrml_widgets,
    ui_loader,
    slice_widget,
    three_d_widget,
    layout_manager,
    main_window,
    scripted_module,
    parameter_node,
    segment_editor,
):
    _part.install()

_LOOKS_MS = 5
"""How often what is waited for is looked at while nothing happens."""

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MODULE_FILE = REPOSITORY / "FactorizerSegmentation" / "FactorizerSegmentation.py"
WINDOW_SIZE = (1440, 940)


@wraps_slicer_class
class qSlicerApplication(QtWidgets.QApplication):  # noqa: N801
    """`slicer.app`."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, core: SlicerCore, folder: Path, testing: bool) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer.org")
        self.setStyle("Fusion")
        self._core = core
        self._folder = folder
        self._testing = testing
        self._startupVariables = dict(os.environ)
        self._io = CoreIOManager(core)
        self._renderPauses = 0
        self._layoutManager = None
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(
            QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(folder / "settings")
        )

    temporaryPath = property(lambda self: str(self._folder / "temporary"))
    slicerHome = property(lambda self: sys.prefix)
    slicerUserSettingsFilePath = property(lambda self: QtCore.QSettings().fileName())
    applicationName = property(lambda self: "Slicer")
    applicationVersion = property(lambda self: "5.12.4")
    majorVersion = property(lambda self: 5)
    minorVersion = property(lambda self: 12)
    os = property(lambda self: {"darwin": "macosx", "win32": "win"}.get(sys.platform, "linux"))

    def applicationLogic(self):
        return self._core.applicationLogic

    def mrmlScene(self):
        return self._core.scene

    def layoutManager(self):
        return self._layoutManager

    def settings(self):
        return QtCore.QSettings()

    userSettings = settings
    revisionUserSettings = settings

    def coreIOManager(self) -> CoreIOManager:
        return self._io

    ioManager = coreIOManager

    def testingEnabled(self) -> bool:
        return self._testing

    def startupEnvironment(self):
        environment = QtCore.QProcessEnvironment()
        for name, value in self._startupVariables.items():
            environment.insert(name, value)
        return environment

    def moduleLogic(self, name: str):
        return self._core.logics.get(name)

    def pauseRender(self) -> None:
        self._renderPauses += 1

    def resumeRender(self) -> None:
        self._renderPauses = max(0, self._renderPauses - 1)


class HostApplication:
    """Starts the application with its window; one per process.

    Args:
        modules: Module files to load; by default the extension's own.
        testing: What `slicer.app.testingEnabled()` says: dialogs are then logged, not shown.
        size: Window size in pixels.
    """

    def __init__(
        self,
        modules: tuple[Path, ...] = (MODULE_FILE,),
        testing: bool = True,
        size: tuple[int, int] = WINDOW_SIZE,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slicer-host-"))
        (self.folder / "temporary").mkdir()
        self.core = start_core()
        self.app = qSlicerApplication(self.core, self.folder, testing)
        slicer.app = self.app
        slicer.qSlicerApplication = qSlicerApplication
        sample_data.install()
        self.window = slicer.qSlicerMainWindow()
        self.app._layoutManager = slicer.qSlicerLayoutManager(self.core, self.window._viewport)
        self.app._layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        loaded = [scripted_module.load_module(Path(path)) for path in modules]
        for module in (*loaded, segment_editor.load()):
            self.window.moduleSelector()._add(module)
        self.window.resize(*size)
        self.window.show()
        self.process_events()
        self.app.startupCompleted.emit()

    def select_module(self, name: str):
        """Open a module; returns its Python widget."""
        slicer.util.selectModule(name)
        self.process_events()
        return slicer.util.getModuleWidget(getattr(slicer.modules, name.lower()))

    def process_events(self, seconds: float = 0.05) -> None:
        """Let the application work for a while."""
        self.wait_until(lambda: False, seconds)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 120.0) -> bool:
        """Let the application work until the condition holds; False if it never did."""
        deadline = time.monotonic() + timeout
        clock = QtCore.QTimer()  # conditions of time or of other processes are looked at, too
        clock.start(_LOOKS_MS)
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self.app.processEvents(QtCore.QEventLoop.WaitForMoreEvents)
        return True

    def draw_pending(self) -> None:
        """Draw the views that show something else than a moment ago, and all widgets, now."""
        self.app.processEvents()  # what waits for its turn may change what is shown
        for view in self.window.findChildren(PictureView):
            view._renderPending()
        self.app.processEvents()

    def screenshot(self, path: str | Path) -> Path:
        """Write what the window shows as PNG, after all pending drawing; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        slicer.util.forceRenderAllViews()
        self.process_events(0.1)
        self.window.grab().save(str(path))
        return path

    def close(self) -> None:
        """End as Slicer does: modules clean up, the scene is cleared, files go."""
        self.app.aboutToQuit.emit()
        for name, widget in list(vars(slicer.modules).items()):
            if name.endswith("Widget") and hasattr(widget, "cleanup"):
                widget.cleanup()
                delattr(slicer.modules, name)
        self.window.close()
        self.process_events(0.5)  # killed child processes end
        shutil.rmtree(self.folder, ignore_errors=True)
        logging.debug("The host has closed.")
