"""The tick box that prepares the scans, and what it leaves in the scene."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareResult
from FactorizerSegmentationLib.scene import preparation
from FactorizerSegmentationLib.scene.masses import maskOf
from FactorizerSegmentationLib.scene.volumes import worldAffine
from module.panels.user import (
    AFFINE,
    SHAPE,
    run,
    saved,
    segmentations,
    start_and_wait_for_progress,
)

MOVED = np.eye(4)
MOVED[0, 3] = 3.0


@pytest.fixture
def ticked(panel, volumes):
    """The controls, for which *Prepare inputs* was clicked."""
    panel.inputs.ui.prepareCheckBox.click()
    return panel.inputs.preparation


@pytest.fixture
def prepared(host, panel, ticked, fake_python):
    """The controls after a run."""
    run(host, panel, fake_python("answer"))
    return ticked


def registration(volumes):
    return preparation.registrationOf(volumes["T1"], volumes["FLAIR"])


def brain(scene):
    (node,) = [n for n in segmentations(scene) if n.GetName() == "FLAIR brain"]
    return node


def log(panel) -> str:
    return panel.ui.logTextEdit.toPlainText()


def test_the_choices_are_hidden_until_they_are_wanted(panel, volumes):
    assert not panel.inputs.ui.prepareSettings.visible
    panel.inputs.ui.prepareCheckBox.click()
    assert panel.inputs.ui.prepareSettings.visible
    assert not panel.inputs.ui.sheetButton.enabled
    assert not panel.inputs.ui.registeredCheckBox.visible


def test_without_the_tick_scans_are_taken_as_they_are(host, scene, panel, volumes, fake_python):
    before = log(panel)
    run(host, panel, fake_python("answer"))
    assert registration(volumes) is None
    assert len(segmentations(scene)) == 1
    assert "told" not in log(panel).removeprefix(before)


def test_a_run_leaves_registration_brain_and_result_on_the_reference(
    host, scene, panel, volumes, prepared
):
    np.testing.assert_allclose(worldAffine(volumes["T1"]), MOVED @ AFFINE)
    for name in ("FLAIR", "T1ce", "T2"):
        assert volumes[name].GetTransformNodeID() is None
    result = panel._parameters.segment.segmentation
    role = result.GetReferenceImageGeometryReferenceRole()
    assert result.GetNodeReference(role) is volumes["FLAIR"]
    mask = maskOf(brain(scene), "Label_1", volumes["FLAIR"])
    assert not mask[0].any() and mask[1:].all()


def test_what_has_to_be_looked_at_is_said_and_the_rest_in_the_tooltip(prepared, panel):
    label = panel.inputs.ui.prepareStatusLabel
    assert label.text == "T1: 5 mm slices: small lesions may be missed."
    assert "T1, registration: moved." in label.toolTip


def test_the_registration_is_switched_off_and_on(host, panel, volumes, prepared):
    box = panel.inputs.ui.registeredCheckBox
    assert box.visible and box.checked and "T1" in box.text
    box.click()
    np.testing.assert_allclose(worldAffine(volumes["T1"]), AFFINE)
    assert registration(volumes) is not None
    box.click()
    np.testing.assert_allclose(worldAffine(volumes["T1"]), MOVED @ AFFINE)


def test_a_volume_below_a_transform_is_moved_in_the_world(
    host, panel, volumes, ticked, fake_python, add_transform
):
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    above = add_transform(turn)
    volumes["T1"].SetAndObserveTransformNodeID(above.GetID())
    run(host, panel, fake_python("answer"))
    np.testing.assert_allclose(worldAffine(volumes["T1"]), MOVED @ turn @ AFFINE)
    panel.inputs.ui.registeredCheckBox.click()
    assert volumes["T1"].GetTransformNodeID() == above.GetID()


def test_a_second_run_uses_the_corrected_mask_and_leaves_the_registration(
    host, scene, panel, volumes, prepared, fake_python
):
    node = brain(scene)
    edited = np.zeros(SHAPE[::-1], np.uint8)
    edited[2:4, 3, 3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, node, "Label_1", volumes["FLAIR"])
    assert panel.inputs.ui.brainSelector.currentNode() is node

    run(host, panel, fake_python("answer"))
    assert "brain True, placed ('T1',), 2 voxels" in log(panel)
    np.testing.assert_allclose(worldAffine(volumes["T1"]), MOVED @ AFFINE)
    assert brain(scene) is node
    mask = maskOf(node, "Label_1", volumes["FLAIR"])
    assert mask.sum() == 2


def test_a_registration_that_is_switched_off_stays_off(host, panel, volumes, prepared, fake_python):
    panel.inputs.ui.registeredCheckBox.click()
    run(host, panel, fake_python("answer"))
    np.testing.assert_allclose(worldAffine(volumes["T1"]), AFFINE)
    assert not panel.inputs.ui.registeredCheckBox.checked


def test_a_deleted_registration_is_made_anew(host, scene, panel, volumes, prepared, fake_python):
    scene.RemoveNode(registration(volumes))
    host.process_events()
    assert not panel.inputs.ui.registeredCheckBox.visible
    run(host, panel, fake_python("answer"))
    np.testing.assert_allclose(worldAffine(volumes["T1"]), MOVED @ AFFINE)


def test_scans_can_be_prepared_without_a_run(host, scene, panel, volumes, ticked, fake_python):
    panel.ui.pythonLineEdit.text = fake_python("answer")
    panel.inputs.ui.prepareButton.click()
    assert panel.inputs.ui.prepareButton.text == "Cancel"
    assert not panel.ui.applyButton.enabled
    assert host.wait_until(lambda: not ticked.controls.running)
    assert registration(volumes) is not None
    assert segmentations(scene) == [brain(scene)]
    assert panel.inputs.ui.brainSelector.currentNode() is brain(scene)
    assert panel.ui.applyButton.enabled


def test_a_preparation_can_be_cancelled_and_leaves_nothing(
    host, scene, panel, volumes, ticked, fake_python
):
    panel.ui.pythonLineEdit.text = fake_python("obey")
    for button, running in (
        (panel.inputs.ui.prepareButton, lambda: ticked.controls.running),
        (panel.ui.applyButton, lambda: panel.controls.running),
    ):
        button.click()
        assert host.wait_until(lambda: panel.inputs._logic.engine.processId is not None)
        host.process_events(0.3)
        button.click()
        assert host.wait_until(lambda running=running: not running())
        assert segmentations(scene) == [] and registration(volumes) is None


def test_the_preparation_is_the_first_half_of_a_run(host, panel, ticked, fake_python, tmp_path):
    gate = tmp_path / "gate"
    start_and_wait_for_progress(host, panel, fake_python("gate", gate))
    assert panel.ui.progressBar.value == 25
    gate.touch()
    assert host.wait_until(lambda: not panel.controls.running)


def test_a_failure_is_one_sentence(host, scene, panel, volumes, ticked, fake_python):
    panel.ui.pythonLineEdit.text = fake_python("refuse")
    panel.inputs.ui.prepareButton.click()
    assert host.wait_until(lambda: not ticked.controls.running)
    assert panel.inputs.ui.prepareStatusLabel.text == "FLAIR and T1 do not overlap."
    assert segmentations(scene) == []


def test_the_sheet_is_kept_with_the_scene_and_opened(
    host, scene, panel, volumes, prepared, monkeypatch
):
    import qt

    opened = []
    monkeypatch.setattr(
        qt.QDesktopServices, "openUrl", lambda url: opened.append(Path(url.toLocalFile()))
    )
    assert preparation.sheetOf(volumes["FLAIR"]).GetText() == "<h1>Prepared inputs</h1>"
    panel.inputs.ui.sheetButton.click()
    assert opened[0].read_text(encoding="utf-8") == "<h1>Prepared inputs</h1>"


def test_all_of_it_comes_back_with_a_saved_scene(host, scene, panel, volumes, prepared, tmp_path):
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    scene.Clear(False)
    host.process_events()
    assert not panel.inputs.ui.prepareCheckBox.checked
    slicer.util.loadScene(path)
    host.process_events()

    loaded = {name: slicer.util.getNode(name) for name in ("FLAIR", "T1")}
    assert preparation.isUsed(registration(loaded))
    assert preparation.sheetOf(loaded["FLAIR"]).GetText() == "<h1>Prepared inputs</h1>"
    assert panel.inputs.ui.prepareCheckBox.checked and panel.inputs.ui.sheetButton.enabled
    assert panel.inputs.ui.brainSelector.currentNode() is brain(scene)


def test_the_mask_of_another_patient_is_refused(host, panel, prepared, add_volume):
    for name in ("FLAIR", "T1", "T1ce", "T2"):
        node = add_volume(f"second {name}", SHAPE, AFFINE)
        panel.inputs.channels.selector(name).setCurrentNode(node)
    host.process_events()
    assert not panel.ui.applyButton.enabled
    assert "drawn on another scan" in panel.ui.applyButton.toolTip
    panel.inputs.ui.brainSelector.setCurrentNode(None)
    assert panel.ui.applyButton.enabled


def test_a_mask_that_is_deleted_is_not_replaced_by_another(host, scene, panel, prepared):
    scene.RemoveNode(brain(scene))
    host.process_events()
    assert panel.inputs.ui.brainSelector.currentNode() is None


def test_what_preparation_puts_right_does_not_stand_in_the_way(
    host, widget, panel, add_model, add_volume, fake_python
):
    add_model("picky", expects={"modality": "MR", "anatomy": "brain"})
    panel.ui.pythonLineEdit.text = fake_python("answer")
    widget.logic.getParameterNode().inputs.modelName = "picky"
    widget.enter()
    for name in ("FLAIR", "T1", "T1ce", "T2"):
        node = add_volume(f"{name} raw red" if name == "T1" else name, SHAPE, AFFINE)
        panel.inputs.channels.selector(name).setCurrentNode(node)
    label = panel.inputs.ui.checkLabel
    assert host.wait_until(lambda: label.visible)
    assert label.text == "Prepare inputs, below, can put it right."
    assert not panel.ui.applyButton.enabled
    panel.inputs.ui.prepareCheckBox.click()
    assert panel.ui.applyButton.enabled
    assert host.wait_until(lambda: "✓" in panel.inputs.channels._labels["T1"].text)
    assert panel.ui.applyButton.enabled and not label.visible


def test_what_is_kept_is_shown_and_cleared(panel, volumes, ticked, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setenv("FACTORIZER_CACHE", str(kept))
    (kept / "abc.npz").write_bytes(bytes(3 * 2**20))
    (kept / "notes.txt").write_text("not ours", encoding="utf-8")
    panel.inputs.update()
    assert panel.inputs.ui.keptLabel.text == "Kept: 3.0 MB"
    panel.inputs.ui.clearKeptButton.click()
    assert panel.inputs.ui.keptLabel.text == "Kept: 0.0 MB"
    assert not panel.inputs.ui.clearKeptButton.enabled
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("isClick", [True, False])
def test_a_click_asks_for_no_quality_sheet(host, scene, panel, volumes, ticked, isClick):
    from FactorizerSegmentationLib.tasks.prepare import PrepareRun
    from FactorizerSegmentationLib.tasks.refine import RefineRun

    asked = []
    nothing = Callbacks(lambda _: None, lambda _: None, lambda _: None)
    engine = SimpleNamespace(request=lambda task, params, _: asked.append((task, params)) or 1)
    common = (scene, engine, panel.inputs.settings(), nothing)
    run = RefineRun(*common, np.zeros(SHAPE, np.uint8), ()) if isClick else PrepareRun(*common)
    run.start()
    assert host.wait_until(lambda: asked)
    run._end()
    ((task, params),) = asked
    assert task is PREPARE and params.sheet is not isClick


def test_a_run_tells_the_model_that_the_heads_are_upside_down(host, scene, panel, volumes, ticked):
    from FactorizerSegmentationLib.tasks.segment import SegmentRun

    asked = []
    nothing = Callbacks(lambda _: None, lambda _: None, lambda _: None)
    engine = SimpleNamespace(request=lambda task, params, _: asked.append((task, params)) or 1)
    run = SegmentRun(scene, engine, panel.inputs.settings(), nothing)
    run.start()
    assert host.wait_until(lambda: asked)
    folder = Path(asked[0][1].output_dir)
    result = PrepareResult({}, None, (), "", {}, {}, upside_down=True)
    run._onPrepared(folder, result)
    run._end()
    (_, _), (_, params) = asked
    assert params.options.upside_down


def test_of_heads_that_are_upside_down_no_sides_are_told_by_whatever_follows(
    host, widget, panel, volumes, fake_python, monkeypatch, tmp_path
):
    from FactorizerSegmentationLib.tasks.run import Run

    monkeypatch.setattr(Run, "_upsideDown", True)
    run(host, panel, fake_python("answer"))
    node = widget.logic.getParameterNode().segment.segmentation
    assert saved(node, tmp_path / "segments.npy").upside_down

    assert measured_again(widget).scan is None

    monkeypatch.setattr(Run, "_upsideDown", False)
    run(host, panel, fake_python("answer"))
    node = widget.logic.getParameterNode().segment.segmentation
    assert not saved(node, tmp_path / "segments.npy").upside_down
    assert measured_again(widget).scan is not None


def measured_again(widget):
    """What a measurement of the result would ask for."""
    from FactorizerSegmentationLib.tasks.measure import MeasureRun

    asked = []
    engine = SimpleNamespace(request=lambda task, params, _: asked.append(params))
    nothing = Callbacks(lambda _: None, lambda _: None, lambda _: None)
    edits = widget.reviewPanel._remeasuring._edits
    tableNode = widget.logic.getParameterNode().segment.lesionTable
    run = MeasureRun(engine, edits, tableNode, nothing)
    run.start()
    run._end()
    return asked[0]
