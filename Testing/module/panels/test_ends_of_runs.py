"""Runs that end otherwise than expected: cancelled, overtaken by the scene, reloaded."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from factorizer_engine.protocol.conversation import Callbacks
from module.geometry import apply, tilted
from module.panels.user import (
    AFFINE,
    SHAPE,
    current_widget,
    run,
    segmentations,
    start_and_wait_for_progress,
)


def test_cancelling_leaves_the_scene_as_it_was(host, scene, panel, volumes, fake_python):
    before = scene.GetNumberOfNodes()
    start_and_wait_for_progress(host, panel, fake_python("obey"))
    assert panel.ui.applyButton.text == "Cancel"

    panel.ui.applyButton.click()

    assert host.wait_until(lambda: not panel.controls.running)
    assert panel.ui.applyButton.text == "Segment"
    assert panel.ui.statusLabel.text == "The run was cancelled."
    assert scene.GetNumberOfNodes() == before


def test_an_engine_that_ignores_the_cancel_button_is_killed(
    host, scene, widget, panel, volumes, fake_python
):
    start_and_wait_for_progress(host, panel, fake_python("hang"))

    panel.ui.applyButton.click()

    assert host.wait_until(lambda: not panel.controls.running)
    assert panel.ui.statusLabel.text == "The run was cancelled."
    assert not widget.logic.engine.running
    run(host, panel, fake_python("answer"))
    assert len(segmentations(scene)) == 1


def test_only_one_run_at_a_time(host, widget, panel, volumes, fake_python):
    start_and_wait_for_progress(host, panel, fake_python("obey"))

    explain = widget.componentsPanel.ui.explainButton
    assert not explain.enabled
    assert "Wait" in explain.toolTip

    panel.ui.applyButton.click()
    assert host.wait_until(lambda: explain.enabled)


def test_closing_the_scene_ends_the_run(host, scene, widget, panel, volumes, fake_python):
    start_and_wait_for_progress(host, panel, fake_python("hang"))

    scene.Clear(False)

    assert host.wait_until(lambda: not panel.controls.running)
    assert segmentations(scene) == []
    assert not widget.logic.busy
    assert not panel.ui.applyButton.enabled


def test_a_result_arrives_in_place_though_its_scan_was_deleted(
    host, scene, panel, volumes, add_transform, fake_python, tmp_path
):
    gate = tmp_path / "gate"
    transform = add_transform(tilted())
    for node in volumes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    start_and_wait_for_progress(host, panel, fake_python("gate", gate))

    scene.RemoveNode(volumes["FLAIR"])
    gate.touch()

    assert host.wait_until(lambda: not panel.controls.running)
    (node,) = segmentations(scene)
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    centre = bounds.reshape(3, 2).mean(axis=1)
    expected = tilted() @ np.append(apply(AFFINE, (3.5, 3.0, 2.5)), 1.0)
    assert centre == pytest.approx(expected[:3], abs=3.0)
    assert node.GetParentTransformNode() is None


def test_reloading_the_module_ends_the_run_and_its_engine(
    host, scene, widget, panel, volumes, fake_python, reloading
):
    start_and_wait_for_progress(host, panel, fake_python("hang"))
    engine = widget.logic.engine

    widget.onReload()
    host.process_events()

    assert not engine.running
    fresh = current_widget()
    assert fresh is not widget
    assert fresh.segmentPanel.inputs.channels.volumes() == volumes
    run(host, fresh.segmentPanel, fake_python("answer"))
    assert len(segmentations(scene)) == 1


def test_a_run_can_be_cancelled_while_its_scans_are_saved(
    host, scene, widget, panel, volumes, fake_python
):
    panel.ui.pythonLineEdit.text = fake_python("answer")
    panel.ui.applyButton.click()
    panel.ui.applyButton.click()  # before the window has its next turn

    assert not panel.controls.running and not widget.logic.busy
    assert panel.ui.statusLabel.text == "The run was cancelled."
    host.process_events(0.3)
    assert segmentations(scene) == []


def test_a_scan_that_is_deleted_before_it_is_saved_is_told(
    host, scene, widget, panel, volumes, fake_python
):
    panel.ui.pythonLineEdit.text = fake_python("answer")
    said: list[str] = []
    ended = panel.controls.failed
    panel.controls.failed = lambda error: (said.append(str(error)), ended(error))
    panel.ui.applyButton.click()
    scene.RemoveNode(volumes["T2"])
    assert host.wait_until(lambda: not widget.logic.busy)
    panel.controls.failed = ended

    assert said == ["The volume for T2 is no longer there."]


def test_what_was_said_of_a_result_goes_with_its_scene(
    host, scene, widget, panel, volumes, fake_python
):
    run(host, panel, fake_python("answer"))
    panels = (panel, widget.componentsPanel, widget.followUpPanel, widget.reportPanel)
    for other in panels[1:]:
        other.controls.setStatus("About this patient.")
    assert panel.controls.status
    scene.Clear(False)
    host.process_events()
    assert [it.controls.status for it in panels] == [""] * 4


@pytest.mark.parametrize("name", ["segment", "explain", "prepare"])
def test_nothing_is_said_in_a_fresh_scene_of_a_run_that_ended_with_its_own(
    host, scene, widget, panel, volumes, add_volume, fake_python, name
):
    button, controls = {
        "segment": (panel.ui.applyButton, panel.controls),
        "explain": (widget.componentsPanel.ui.explainButton, widget.componentsPanel.controls),
        "prepare": (panel.inputs.ui.prepareButton, panel.inputs.preparation.controls),
    }[name]
    panel.inputs.ui.prepareCheckBox.checked = name == "prepare"
    panel.ui.pythonLineEdit.text = fake_python("hang")
    button.click()
    assert host.wait_until(lambda: widget.logic.engine.running)
    host.process_events(0.1)
    scene.Clear(False)
    said = []
    tell = controls.setStatus
    controls.setStatus = lambda text, isError=False: (said.append(text), tell(text, isError))
    assert host.wait_until(lambda: not widget.logic.busy)
    del controls.setStatus
    assert not controls.running and controls.status == "" and not any(said)

    for channel in volumes:
        add_volume(channel, SHAPE, AFFINE)
    host.process_events()
    panel.ui.pythonLineEdit.text = fake_python("refuse")
    panel.inputs.ui.prepareCheckBox.checked = name == "prepare"
    button.click()
    assert host.wait_until(lambda: not controls.running)
    assert controls.status == "FLAIR and T1 do not overlap."


def test_a_preparation_whose_outcome_was_told_says_nothing_in_a_fresh_scene(
    host, scene, panel, volumes
):
    panel.inputs.preparation.controls.setStatus("About this patient.")
    scene.Clear(False)
    host.process_events()
    assert panel.inputs.preparation.controls.status == ""


@pytest.mark.parametrize("afterwards", [False, True])
def test_files_that_are_read_when_a_run_breaks_down_are_let_go_before_they_are_removed(
    host, scene, monkeypatch, tmp_path, afterwards
):
    """Windows removes no file that is mapped; the frames of an error would keep it so."""
    from FactorizerSegmentationLib.tasks import engine_run

    np.save(tmp_path / "map.npy", np.zeros((2, 3, 4)))
    mapped, still_open = [], []

    class Breaking(engine_run.EngineRun):
        def _createNodes(self, result):
            yield
            return None if afterwards else (yield from self._read())

        def _afterwards(self):
            yield from self._read()

        def _read(self):
            values = np.load(tmp_path / "map.npy", mmap_mode="r")
            mapped.append(weakref.ref(values))
            yield
            raise ValueError(f"cannot show {values.shape}")

    def removeFolder(folder):
        still_open.append(mapped[-1]() is not None)

    monkeypatch.setattr(engine_run, "removeFolder", removeFolder)
    ended = []
    run = Breaking(scene, None, Callbacks(ended.append, ended.append))
    run._folder = tmp_path
    run._onResult(None)
    assert host.wait_until(lambda: bool(still_open))
    assert still_open == [False]
