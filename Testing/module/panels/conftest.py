"""The panels in the stand-in window, with a model and the scans that it takes."""

from __future__ import annotations

import json
import sys

import pytest

from module.panels.user import AFFINE, NAMES, SHAPE, current_widget, run


@pytest.fixture
def add_model(tmp_path, monkeypatch):
    """Installs models as far as the panels read them: `add_model("stroke", ("DWI",))`."""
    models = tmp_path / "models"
    monkeypatch.setenv("FACTORIZER_MODELS", str(models))

    def add(
        name,
        channels=NAMES,
        regions=("ET", "WT"),
        seconds=None,
        labels=(),
        subsets=(),
        expects=None,
    ) -> None:
        section = {
            "name": name,
            "family": name,
            "title": f"Model {name}",
            "channels": [{"name": channel, "aliases": []} for channel in channels],
            "regions": [
                {"name": region, "label": number, "title": f"The {region}", "order": -number}
                for number, region in enumerate(regions, start=1)
            ],
            "labels": list(labels),
            "subsets": list(subsets),
            "expected_seconds": {"cpu": seconds} if seconds else {},
            "expects": expects or {},
        }
        metadata = {"version": "1", "description": "For tests.", "factorizer": section}
        configs = models / name / "configs"
        configs.mkdir(parents=True)
        (configs / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")

    return add


def forget_wishes() -> None:
    """What a test before has set for all scenes."""
    import qt

    from FactorizerSegmentationLib.scene.surfaces import WANTED_SETTING

    qt.QSettings().remove(WANTED_SETTING)


@pytest.fixture
def widget(host, scene, monkeypatch, add_model):
    """The module's widget in an empty scene, with one model; its engine ends with the test."""
    from FactorizerSegmentationLib.engine import process
    from FactorizerSegmentationLib.panels import run_controls

    monkeypatch.setattr(process, "KILL_AFTER_MS", 300)
    monkeypatch.setattr(run_controls, "DOUBLE_CLICK_S", 0.0)  # tests click at once
    forget_wishes()
    add_model("fake")
    widget = host.select_module("FactorizerSegmentation")
    widget.logic.getParameterNode().inputs.modelName = "fake"
    widget.enter()
    widget.segmentPanel.ui.logTextEdit.clear()
    widget.segmentPanel._log._engine = ""  # as in a log that has not told of it yet
    yield current_widget()
    widget = current_widget()
    widget.logic.engine.stop()
    scene.Clear(False)
    host.process_events()
    widget.segmentPanel.ui.pythonLineEdit.text = ""


@pytest.fixture
def reloading(widget):
    """For tests that reload: the classes that other tests know come back at the end."""
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

    reloaded = sys.modules[type(widget).__module__].RELOADED
    before = {name: known for name, known in sys.modules.items() if name.startswith(reloaded)}
    yield
    for name in [name for name in sys.modules if name.startswith(reloaded)]:
        del sys.modules[name]
    sys.modules.update(before)
    for name, known in before.items():
        package, _, leaf = name.rpartition(".")
        if package:
            setattr(sys.modules[package], leaf, known)
    ScriptedLoadableModuleWidget.onReload(current_widget())  # a widget of those classes


@pytest.fixture
def panel(widget):
    """The panel that segments."""
    return widget.segmentPanel


@pytest.fixture
def volumes(host, widget, add_volume):
    """The four scans, matched by name."""
    nodes = {name: add_volume(name, SHAPE, AFFINE) for name in NAMES}
    host.process_events()
    return nodes


@pytest.fixture
def review(host, widget, panel, volumes, fake_python):
    """The review after a run; it measures soon after a change."""
    from FactorizerSegmentationLib.panels import remeasuring

    panel_ = widget.reviewPanel
    panel_._remeasuring._timer.setInterval(50)
    run(host, panel, fake_python("answer"))
    yield panel_
    panel_._remeasuring._timer.setInterval(remeasuring.DELAY_MS)
