"""How to run: quality and its times, the devices, the engine's memory, the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import slicer

from module.panels.user import run


@pytest.fixture(autouse=True)
def unlearnt():
    """No run has been timed before, and none of this test is remembered."""
    path = Path(slicer.app.slicerUserSettingsFilePath).parent / "FactorizerSegmentation"
    path = path / "durations.json"
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def qualities(panel):
    """The texts of the choices, by name."""
    combo = panel.ui.qualityComboBox
    return lambda: {combo.itemData(i): combo.itemText(i) for i in range(combo.count)}


def choose(combo, data) -> None:
    combo.currentIndex = combo.findData(data)


def test_the_times_are_the_cards_until_a_scan_has_been_segmented(
    host, widget, panel, volumes, qualities, fake_python, add_model
):
    add_model("timed", seconds=200.0)
    widget.enter()
    models = panel.inputs.ui.modelComboBox
    models.currentIndex = models.findText("Model timed")
    choose(panel.ui.deviceComboBox, "auto")
    assert qualities() == {"fast": "Fast", "balanced": "Balanced, about 3 min", "best": "Best"}

    choose(panel.ui.qualityComboBox, "best")
    run(host, panel, fake_python("answer"))
    assert qualities()["best"] == "Best, about 2 s"
    assert qualities()["balanced"] == "Balanced, about 3 min"

    choose(panel.ui.qualityComboBox, "balanced")
    run(host, panel, fake_python("answer"))
    assert qualities()["balanced"] == "Balanced, about 2 s"


def test_a_time_is_that_of_the_device_and_the_median_of_the_last_runs(
    host, widget, panel, volumes, qualities, unlearnt
):
    unlearnt.parent.mkdir(parents=True, exist_ok=True)
    times = {"fake 1 cpu fast": [9.0, 500.0, 10.0], "fake 1 cuda:0 fast": "spoilt"}
    unlearnt.write_text(json.dumps(times), encoding="utf-8")
    choose(panel.ui.deviceComboBox, "cpu")
    widget.logic.notify()
    assert qualities()["fast"] == "Fast, about 10 s"

    widget.logic.getParameterNode().inputs.device = "cuda:0"
    widget.logic.notify()
    assert qualities()["fast"] == "Fast"


def test_devices_are_named_with_their_free_memory(host, panel, volumes, fake_python):
    combo = panel.ui.deviceComboBox
    run(host, panel, fake_python("answer"))

    texts = [combo.itemText(index) for index in range(combo.count)]
    assert texts == ["Automatic", "Processor (fake), 3.0 GB free", "Add a machine ..."]


def test_the_choice_of_quality_reaches_the_engine(host, panel, volumes, fake_python):
    choose(panel.ui.qualityComboBox, "fast")
    run(host, panel, fake_python("answer"))

    assert "members 1, mirroring False, overlap 0.25" in panel.ui.logTextEdit.toPlainText()


def test_the_log_tells_of_runs_and_failures_and_is_copied(host, panel, volumes, fake_python):
    import qt

    run(host, panel, fake_python("answer"))
    run(host, panel, fake_python("refuse"))

    panel.ui.logButton.click()
    panel.ui.copyLogButton.click()
    log = qt.QApplication.clipboard().text()
    assert "segment: fake 1, auto, balanced; FLAIR=FLAIR, T1=T1" in log
    assert "cpu: segmenting 2.0 s" in log
    assert log.count("engine fake") == 1
    assert "FLAIR and T1 do not overlap.\nsome background" in log, "details come after the sentence"
    panel.ui.logButton.click()


def test_an_idle_engine_gives_its_memory_back_and_starts_anew(
    host, widget, panel, volumes, fake_python
):
    python = fake_python("answer")
    run(host, panel, python)
    first = widget.logic.engine.processId
    assert first is not None

    widget.logic.engine.setIdleMinutes(0.2 / 60)
    assert host.wait_until(lambda: not widget.logic.engine.running, 10)
    assert "gave its memory back" in panel.ui.logTextEdit.toPlainText()

    run(host, panel, python)
    assert "Enhancing" in panel.ui.statusLabel.text
    widget.logic.engine.setIdleMinutes(15)


def test_an_engine_at_work_is_not_idle(host, widget, panel, volumes, fake_python, tmp_path):
    gate = tmp_path / "gate"
    panel.ui.pythonLineEdit.text = fake_python("gate", gate)
    panel.ui.applyButton.click()
    widget.logic.engine.setIdleMinutes(0.1 / 60)
    assert host.wait_until(lambda: panel.ui.progressBar.value > 0)
    host.process_events(0.5)

    assert panel.controls.running
    widget.logic.engine.setIdleMinutes(15)
    gate.touch()
    assert host.wait_until(lambda: not panel.controls.running)
    assert not panel.controls.failedLast


def test_the_idle_time_is_kept(widget, panel):
    from FactorizerSegmentationLib.engine.settings import idleMinutes

    panel.ui.idleSpinBox.value = 42

    assert idleMinutes() == 42
    panel.ui.idleSpinBox.value = 15


def test_a_double_click_starts_a_run_and_does_not_cancel_it(
    host, panel, volumes, fake_python, monkeypatch
):
    from FactorizerSegmentationLib.panels import run_controls

    monkeypatch.setattr(run_controls, "DOUBLE_CLICK_S", 60.0)
    panel.ui.pythonLineEdit.text = fake_python("obey")
    panel.ui.applyButton.click()
    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Cancel"
    assert host.wait_until(lambda: panel.ui.progressBar.value > 0)

    monkeypatch.setattr(run_controls, "DOUBLE_CLICK_S", 0.0)
    panel.ui.applyButton.click()
    assert host.wait_until(lambda: not panel.controls.running)
    assert "cancelled" in panel.ui.statusLabel.text
