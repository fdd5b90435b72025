"""Slicer's core without its window: scene, application logic and module logics.

`slicer-core` brings the real classes. The application normally makes one of each and joins them;
here `SlicerCore` does it. No Qt and no display are needed.
"""

from __future__ import annotations

import ctypes.util
import importlib.machinery
import importlib.util
import os
import sys
import types
from contextlib import suppress
from pathlib import Path

SHARE_DIRECTORY = Path(__file__).resolve().parent / "share"


def _choose_offscreen_window() -> None:
    """Let VTK draw without a display: it looks for one first otherwise, and warns."""
    if not sys.platform.startswith("linux") or "VTK_DEFAULT_OPENGL_WINDOW" in os.environ:
        return
    for library, window in (("EGL", "vtkEGLRenderWindow"), ("OSMesa", "vtkOSOpenGLRenderWindow")):
        if ctypes.util.find_library(library):
            os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = window
            return


def _load_triton() -> None:
    """Triton's LLVM and that of the software renderer bear being loaded in this order only."""
    if sys.platform.startswith("linux"):
        with suppress(ImportError):
            import triton._C.libtriton  # noqa: F401


_choose_offscreen_window()
_load_triton()

import slicer  # noqa: E402  (VTK reads the variable above while it loads)
import vtk  # noqa: E402


def _publish_translation() -> None:
    """Give `slicer.i18n` to the wheel, which lacks it: as in Slicer in English, text stays."""
    if importlib.util.find_spec("slicer.i18n") is None:
        translation = types.ModuleType("slicer.i18n")
        translation.tr = lambda text: text
        translation.translate = lambda context, text: text
        translation.__spec__ = importlib.machinery.ModuleSpec("slicer.i18n", None)
        sys.modules["slicer.i18n"] = translation
        slicer.i18n = translation


_publish_translation()

MODULE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}
"""The module's name and the class of its logic, in the order in which they are made."""

SLICE_VIEW_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)

_core: SlicerCore | None = None


class CoreModule:
    """What `slicer.modules.<name>` offers of a core module: its name and its logic."""

    def __init__(self, name: str, logic: vtk.vtkObject) -> None:
        self.name = name
        self.title = name
        self._logic = logic

    def logic(self) -> vtk.vtkObject:
        return self._logic


class Modules:
    """`slicer.modules`: one attribute for each loaded module, in lower case."""


class SlicerCore:
    """One scene with the logics that keep it in order.

    Attributes: `scene` (vtkMRMLScene), `applicationLogic`, `logics` (by module name) and
    `sliceLogics` (a vtkCollection that the slice views join).
    """

    def __init__(self, scene: slicer.vtkMRMLScene | None = None) -> None:
        self.scene = scene or slicer.vtkMRMLScene()
        self.applicationLogic = slicer.vtkSlicerApplicationLogic()
        self.applicationLogic.SetHomeDirectory(str(SHARE_DIRECTORY.parent))
        self.applicationLogic.SetShareDirectory(SHARE_DIRECTORY.name)
        self.applicationLogic.SetMRMLScene(self.scene)
        self.sliceLogics = vtk.vtkCollection()
        self.applicationLogic.SetSliceLogics(self.sliceLogics)
        self.logics = {}
        for name, className in MODULE_LOGICS.items():
            self.logics[name] = self._startLogic(name, className)
        self.applicationLogic.SetColorLogic(self.logics["Colors"])
        self._addCrosshair()
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self.applicationLogic)
        for manager in SLICE_VIEW_MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)

    def _addCrosshair(self) -> None:
        """The node that knows where the mouse is, of which the application has one."""
        node = slicer.vtkMRMLCrosshairNode()
        node.SetCrosshairName("default")
        node.SetName("Crosshair")
        self.scene.AddNode(node)

    def _startLogic(self, name: str, className: str) -> vtk.vtkObject:
        logic = getattr(slicer, className)()
        if name == "Terminologies":
            logic.SetModuleShareDirectory(str(SHARE_DIRECTORY / "Terminologies"))
        logic.SetMRMLApplicationLogic(self.applicationLogic)
        self.applicationLogic.SetModuleLogic(name, logic)
        logic.SetMRMLScene(self.scene)
        return logic


def start_core(scene: slicer.vtkMRMLScene | None = None) -> SlicerCore:
    """Start the core once per process and publish it as `slicer.mrmlScene` and `slicer.modules`.

    Later calls return the same core; another scene than its own is refused with ValueError,
    because displayable managers and logics are bound to one application.
    """
    global _core
    if _core is None:
        _core = SlicerCore(scene or getattr(slicer, "mrmlScene", None))
        slicer.mrmlScene = _core.scene
        slicer.modules = Modules()
        for name, logic in _core.logics.items():
            setattr(slicer.modules, name.lower(), CoreModule(name, logic))
    elif scene is not None and scene is not _core.scene:
        raise ValueError("This process already has a scene; use slicer.mrmlScene.")
    return _core
