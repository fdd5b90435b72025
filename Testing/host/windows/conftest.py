"""The application with the real module, models and scans; the exceptions of slots count."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

_models = tempfile.TemporaryDirectory(prefix="models-")
os.environ["FACTORIZER_MODELS"] = _models.name

import slicer  # noqa: E402  (the host completes it)

from host.application import HostApplication  # noqa: E402


@pytest.fixture(scope="session")
def host():
    """The running application; it loads no model, so that tests of the window alone start fast."""
    application = HostApplication()
    yield application
    application.close()


@pytest.fixture(autouse=True)
def uncaught(monkeypatch):
    """Exceptions that Qt swallowed; a test fails if there are any at its end."""
    caught: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: caught.append(error))
    yield caught
    assert caught == []


@pytest.fixture(scope="session")
def tiny():
    """The engine's tiny model, installed; gives the module that makes it and its scans."""
    from engine import tiny

    tiny.bundle(Path(_models.name))
    return tiny


@pytest.fixture
def module(host, tiny, monkeypatch):
    """The opened module's widget in an empty scene, nothing running."""
    widget = host.select_module("FactorizerSegmentation")
    from FactorizerSegmentationLib.panels import run_controls

    monkeypatch.setattr(run_controls, "DOUBLE_CLICK_S", 0.0)  # tests click at once
    slicer.mrmlScene.Clear(False)
    host.process_events()
    yield widget
    widget.logic.cancel()
    assert host.wait_until(lambda: not widget.logic.busy, 60)


@pytest.fixture
def add_scan(host):
    """Puts an engine scan into the scene: `add_scan(scan)` returns the volume node."""

    def add(scan, name: str | None = None):
        voxels = np.ascontiguousarray(scan.array.transpose(2, 1, 0))
        node = slicer.util.addVolumeFromArray(voxels, name=name or scan.name)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))
        host.process_events(0.05)
        return node

    return add


@pytest.fixture
def choose_model(module):
    """Chooses a model by the beginning of its title, as a user does."""

    def choose(title: str) -> None:
        combo = module.segmentPanel.inputs.ui.modelComboBox
        titles = [combo.itemText(index) for index in range(combo.count)]
        combo.currentIndex = next(i for i, known in enumerate(titles) if known.startswith(title))

    return choose


@pytest.fixture
def tiny_model(choose_model):
    """The tiny model chosen."""
    choose_model("Tiny test model")


@pytest.fixture
def tiny_case(tiny_model, tiny, add_scan):
    """The tiny model chosen and its two small scans in the scene."""
    return {name: add_scan(scan) for name, scan in tiny.scans().items()}


@pytest.fixture
def long_case(tiny_model, tiny, add_scan):
    """The tiny model chosen and scans so large that a run takes long."""
    return {name: add_scan(scan) for name, scan in tiny.scans(shape=(150, 150, 150)).items()}


@pytest.fixture(scope="module")
def click_bundle(tiny):
    """The model, installed for these tests."""
    folder = Path(_models.name)
    yield tiny.bundle_for_clicks(folder)
    shutil.rmtree(folder / "tiny-clicks")


@pytest.fixture
def scan(click_bundle, tiny, module, choose_model, add_scan):
    """A scan of no known sequence, and the model chosen for it."""
    node = add_scan(tiny.scans()["FLAIR"], "Some scan")
    choose_model("Tiny click model")
    (selector,) = module.segmentPanel.inputs.channels._selectors.values()
    selector.setCurrentNode(node)
    return node


@pytest.fixture
def asked(module, monkeypatch):
    """In place of the engine, as far as clicks go."""
    from host.windows.clicking import Asked

    asked = Asked(module.logic)
    monkeypatch.setattr(module.logic, "refine", asked.refine)
    return asked


@pytest.fixture
def reopened(host, tmp_path):
    """Saves the scene, closes it and opens it again: `reopened()`."""

    def reopen() -> None:
        path = str(tmp_path / "scene.mrb")
        assert slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        host.process_events(0.1)
        slicer.util.loadScene(path)
        host.process_events(0.2)

    return reopen
