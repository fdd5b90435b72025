"""A scene with Slicer's real nodes and logics, without a window."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from host.core import start_core  # noqa: E402  (it also gives slicer-core what it lacks)

FAKE_ENGINE = Path(__file__).resolve().parents[1] / "fake_engine.py"


@pytest.fixture(scope="session")
def host():
    """The stand-in for Slicer's window with the module loaded; there is one per process."""
    pytest.importorskip("PySide6")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from host.application import HostApplication

    application = HostApplication(size=(640, 940))  # little room for views, which take long to draw
    yield application
    application.close()


@pytest.fixture(autouse=True)
def uncaught(monkeypatch):
    """Exceptions in slots, which Qt swallows; a test fails if there were any."""
    caught: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: caught.append(error))
    yield
    assert caught == []


@pytest.fixture
def scene():
    """An empty scene, with all logics attached; singletons stay."""
    scene = start_core().scene
    scene.Clear(False)
    crosshair = scene.GetNodeByID("vtkMRMLCrosshairNodedefault")
    if crosshair is not None:
        crosshair.SetCursorPositionInvalid()  # the mouse is over no view
    yield scene
    scene.Clear(False)


@pytest.fixture
def add_volume(scene):
    """Makes volume nodes: `add_volume("FLAIR", shape=(5, 6, 7), affine=...)`."""

    def add(name="Volume", shape=(5, 6, 7), affine=None, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(voxels.transpose(2, 1, 0)))
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4) if affine is None else affine)
        node.SetIJKToRASMatrix(matrix)
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def add_transform(scene):
    """Makes linear transform nodes: `add_transform(matrix, parent=...)`."""

    def add(matrix, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix)))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def hierarchy(scene):
    """The subject hierarchy node."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@pytest.fixture
def put_under(hierarchy):
    """Puts a node under an item; the application, which makes items for new nodes, may be away."""

    def put(node, parent):
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, parent)
        else:
            hierarchy.CreateItem(parent, node)

    return put


@pytest.fixture
def fake_python(tmp_path):
    """Makes a program to be taken for Python, whose engine behaves as told: see fake_engine.py.

    With `launcher` the engine is a child of the program, as PythonSlicer's is.
    """
    if os.name == "nt":
        pytest.skip("the fake engine is a POSIX script")

    def make(behaviour: str, gate: Path | None = None, launcher: bool = False) -> str:
        program = tmp_path / f"python-{behaviour}"
        models = os.environ.get("FACTORIZER_MODELS", tmp_path)  # the host's environment is older
        variables = f"FAKE_ENGINE={behaviour} FAKE_GATE='{gate or ''}' FACTORIZER_MODELS='{models}'"
        run = f"{'' if launcher else 'exec '}'{sys.executable}' '{FAKE_ENGINE}'"
        program.write_text(f"#!/bin/sh\nexport {variables}\n{run}\nexit $?\n")
        program.chmod(0o755)
        return str(program)

    return make
