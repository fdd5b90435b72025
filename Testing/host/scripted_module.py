"""Scripted modules: base classes, and loading of a module file."""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
import unittest
from pathlib import Path

import qt
import slicer
from PySide6 import QtCore, QtWidgets

from host.wrapping import wraps_slicer_class


class ScriptedLoadableModule:
    """What a module file says about itself, set on `parent`."""

    def __init__(self, parent) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        parent.hidden = False
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage=None) -> str:
        return ""

    def runTest(self, msec=100, **kwargs) -> None:
        _runTest(self.moduleName)


class ScriptedLoadableModuleWidget:
    """Base of a module's user interface; `parent` is the module's place in the panel."""

    def __init__(self, parent=None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            parent = slicer.qMRMLWidget()
            parent.setLayout(qt.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        self.setupDeveloperSection()

    def setupDeveloperSection(self) -> None:
        """The host has no developer mode."""

    def cleanup(self) -> None:
        """For subclasses."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **kwargs) -> None:
        self.onReload()
        self.onTest(**kwargs)

    def onTest(self, **kwargs) -> None:
        _runTest(self.moduleName)

    def onEditSource(self, filePath=None) -> None:
        logging.info("The host has no editor.")


class ScriptedLoadableModuleLogic:
    """Base of a module's logic, with its parameter node in the scene."""

    def __init__(self, parent=None) -> None:
        self.mrmlScene = slicer.mrmlScene
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        return self.getAllParameterNodes()[0] if self.getAllParameterNodes() else self._newNode()

    def getAllParameterNodes(self) -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetModuleName() == self.moduleName]

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node

    def _newNode(self):
        return slicer.mrmlScene.AddNode(self.createParameterNode())


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's self-test."""

    def __init__(self, *arguments, **kwargs) -> None:
        super().__init__(*arguments, **kwargs)
        self.messageDelay = 100

    def delayDisplay(self, message: str, requestedDelay=None, msec=None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        """The host keeps none."""

    def runTest(self) -> None:
        """For subclasses."""


@wraps_slicer_class
class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):  # noqa: N801
    """The place of a scripted widget in the module panel."""

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        self._module = module
        self._widget = None
        QtWidgets.QVBoxLayout(self)

    moduleName = property(lambda self: self._module.name)

    def self(self):
        return self._widget

    def module(self):
        return self._module

    def enter(self) -> None:
        _callIfThere(self._widget, "enter")

    def exit(self) -> None:
        _callIfThere(self._widget, "exit")

    def reload(self) -> None:
        """Make the Python widget anew from the module's current code."""
        code = sys.modules[self._module.name]
        self._widget = getattr(code, f"{self._module.name}Widget")(self)
        setattr(slicer.modules, f"{self._module.name}Widget", self._widget)
        self._widget.setup()


@wraps_slicer_class
class qSlicerScriptedLoadableModule(QtCore.QObject):  # noqa: N801
    """`slicer.modules.<name>` of a scripted module."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self._name = name
        self._path = str(path)
        self._representation = None
        self._about = {}

    name = property(lambda self: self._name)
    path = property(lambda self: self._path)

    def _aboutProperty(name, default):  # noqa: N805
        return property(
            lambda self: self._about.get(name, default),
            lambda self, value: self._about.__setitem__(name, value),
        )

    title = _aboutProperty("title", "")
    categories = _aboutProperty("categories", [])
    dependencies = _aboutProperty("dependencies", [])
    contributors = _aboutProperty("contributors", [])
    helpText = _aboutProperty("helpText", "")
    acknowledgementText = _aboutProperty("acknowledgementText", "")
    icon = _aboutProperty("icon", None)
    hidden = _aboutProperty("hidden", False)
    index = _aboutProperty("index", -1)

    def mrmlScene(self):
        return slicer.mrmlScene

    def logic(self):
        return slicer.vtkSlicerScriptedLoadableModuleLogic()

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._representation is None:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        representation = qSlicerScriptedLoadableModuleWidget(self)
        representation.reload()
        return representation


def load_module(path: Path) -> qSlicerScriptedLoadableModule:
    """Run a module file and publish it in `slicer.modules`, as at the start of Slicer."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    spec.loader.exec_module(code)
    module = _published(name, path)
    setattr(slicer.modules, f"{name}Instance", getattr(code, name)(module))
    return module


def publish_module(name: str, path: str, contents: dict) -> qSlicerScriptedLoadableModule:
    """A module of the host's own, in place of one that comes with Slicer."""
    code = types.ModuleType(name)
    vars(code).update(contents)
    sys.modules[name] = code
    return _published(name, Path(path))


def _published(name: str, path: Path) -> qSlicerScriptedLoadableModule:
    module = qSlicerScriptedLoadableModule(name, path)
    setattr(slicer.modules, name.lower(), module)
    return module


def install() -> None:
    """Publish `slicer.ScriptedLoadableModule` and the module classes."""
    slicer.selfTests = {}
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    _publish(
        "ScriptedLoadableModule",
        ScriptedLoadableModule=ScriptedLoadableModule,
        ScriptedLoadableModuleWidget=ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic=ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest=ScriptedLoadableModuleTest,
    )


def _publish(name: str, **contents) -> None:
    module = types.ModuleType(f"slicer.{name}")
    vars(module).update(contents, __all__=list(contents))
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)


def _runTest(moduleName: str) -> None:
    test = getattr(sys.modules[moduleName], f"{moduleName}Test")()
    test.runTest()


def _callIfThere(widget, name: str) -> None:
    method = getattr(widget, name, None)
    if method is not None:
        method()
