"""What the panel says about scans that look wrong, before anything is run."""

from __future__ import annotations

import pytest
import slicer

from module.panels.user import AFFINE, NAMES, SHAPE, segmentations

SUBSETS = ({"channels": NAMES[:3], "regions": ("ET", "WT"), "dice": {"WT": 0.85}, "cases": 5},)


@pytest.fixture
def checked(host, widget, panel, add_model, add_volume, fake_python):
    """Chooses a model that says what it expects, and volumes for it: `checked(T1="T1 amber")`."""

    def choose(**names: str):
        add_model("picky", expects={"modality": "MR", "anatomy": "brain"}, subsets=SUBSETS)
        panel.ui.pythonLineEdit.text = fake_python("answer")
        widget.logic.getParameterNode().inputs.modelName = "picky"
        widget.enter()
        for name in NAMES:
            node = add_volume(names.get(name, name), SHAPE, AFFINE)
            panel.inputs.channels.selector(name).setCurrentNode(node)
        host.process_events()
        assert host.wait_until(lambda: "✓" in label(panel, "FLAIR").text)
        return panel

    return choose


def label(panel, name: str):
    return panel.inputs.channels._labels[name]


def below(panel, name: str):
    return panel.inputs.channels._sentenceLabels[name]


def test_scans_that_look_right_are_marked_green_and_can_be_run(checked):
    panel = checked()
    assert all("✓" in label(panel, name).text for name in NAMES)
    assert not panel.inputs.ui.checkLabel.visible
    assert panel.ui.applyButton.enabled


def test_a_row_that_is_left_out_has_no_mark(host, checked):
    panel = checked()
    panel.inputs.channels.selector("T2").setCurrentNode(None)
    assert host.wait_until(lambda: panel.inputs.checks.done)
    assert "✓" in label(panel, "T1").text
    assert label(panel, "T2").text == "T2:"


def test_a_doubtful_scan_is_marked_and_can_be_run_nevertheless(checked):
    panel = checked(T1="T1 amber")
    assert "⚠" in label(panel, "T1").text
    assert "T1 is amber." in panel.inputs.channels.selector("T1").toolTip
    assert below(panel, "T1").text == "T1 is amber."
    assert below(panel, "T1").visible
    assert not below(panel, "T2").visible
    assert panel.ui.applyButton.enabled


def test_a_scan_that_cannot_be_used_disables_the_button_which_says_why(host, checked, add_volume):
    panel = checked(T2="T2 red", T1="T1 amber")
    assert "✕" in label(panel, "T2").text
    assert not panel.ui.applyButton.enabled
    assert "T2 is red." in panel.ui.applyButton.toolTip
    assert below(panel, "T2").text == "T2 is red."

    panel.inputs.channels.selector("T2").setCurrentNode(add_volume("T2 good", SHAPE, AFFINE))
    assert panel.ui.applyButton.enabled
    assert host.wait_until(lambda: "✓" in label(panel, "T2").text)
    assert below(panel, "T1").text == "T1 is amber."
    assert not below(panel, "T2").visible


def test_what_has_changed_since_is_looked_at_anew(host, checked):
    panel = checked()
    node = panel.inputs.channels.selector("T1").currentNode()
    node.SetName("T1 amber")
    node.SetSpacing(2, 2, 2)
    panel.inputs.update()
    assert "✓" not in label(panel, "T1").text
    assert host.wait_until(lambda: "⚠" in label(panel, "T1").text)


@pytest.fixture
def mixed(checked, host, hierarchy, put_under, scene):
    """A panel in which the T1 is another patient's."""
    panel = checked()
    for name, patient in (("FLAIR", "1"), ("T1", "2"), ("T1ce", "1"), ("T2", "1")):
        item = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"Patient {patient}")
        hierarchy.SetItemAttribute(item, "DICOM.PatientID", patient)
        hierarchy.SetItemAttribute(item, "DICOM.PatientSex", "F")
        put_under(panel.inputs.channels.selector(name).currentNode(), item)
    panel.inputs.checks._asked = ()
    panel.inputs.update()
    assert host.wait_until(lambda: panel.inputs.ui.checkLabel.visible)
    return panel


def test_scans_of_two_patients_are_run_only_after_a_question(host, mixed, monkeypatch):
    asked, answer = [], [False]
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, title: asked.append(text) or answer[0]
    )
    assert mixed.inputs.ui.checkLabel.text == "The patients differ."
    assert "⚠" in label(mixed, "T1").text
    mixed.ui.applyButton.click()
    assert len(asked) == 1
    assert "The patients differ." in asked[0]
    assert not mixed.controls.running

    answer[0] = True
    mixed.ui.applyButton.click()
    assert mixed.controls.running
    assert host.wait_until(lambda: not mixed.controls.running)
    mixed.ui.applyButton.click()
    assert len(asked) == 2  # once for a choice of scans
    assert host.wait_until(lambda: not mixed.controls.running)


def test_the_transform_of_a_scan_is_told_in_the_tooltip(host, checked, scene):
    panel = checked()
    node = panel.inputs.channels.selector("T1").currentNode()
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    node.SetAndObserveTransformNodeID(transform.GetID())
    panel.inputs.update()
    selector = panel.inputs.channels.selector("T1")
    assert host.wait_until(lambda: "T1 is moved by Registration." in selector.toolTip)
    assert "✓" in label(panel, "T1").text


def test_every_row_says_how_much_speaks_for_its_volume(checked, add_volume):
    panel = checked(T2="Scan 7")
    trust = panel.inputs.channels._trustLabels
    assert (trust["T1"].text, trust["T1"].toolTip) == ("◐", "T1 by its name.")
    assert trust["T2"].text == "○"
    assert "Neither a header nor the name" in trust["T2"].toolTip
    panel.inputs.channels.selector("T2").setCurrentNode(add_volume("Ax FLAIR", SHAPE, AFFINE))
    assert trust["T2"].text == "?"
    assert trust["T2"].toolTip == "Its name speaks of FLAIR, not of T2."
    assert below(panel, "T2").text == "Its name speaks of FLAIR, not of T2."
    assert below(panel, "T2").visible and not below(panel, "T1").visible


def test_a_model_that_does_not_say_what_it_expects_is_not_checked(host, panel, volumes, widget):
    host.process_events()
    assert not widget.logic.engine.running
    assert label(panel, "T1").text == "T1:"


def choose_and_segment_at_once(panel, volume) -> None:
    """Click while the scans are about to be looked at."""
    choose(panel, volume)
    panel.ui.applyButton.click()


def choose(panel, volume) -> None:
    panel.inputs.channels.selector("T2").setCurrentNode(volume)
    assert panel.inputs.checks.pending


def test_a_run_waits_until_the_scans_have_been_looked_at(host, scene, checked, add_volume):
    panel = checked()
    choose_and_segment_at_once(panel, add_volume("T2 good", SHAPE, AFFINE))
    assert panel.ui.stageLabel.text == "Looking at the scans"
    assert panel.ui.applyButton.text == "Cancel"
    assert host.wait_until(lambda: segmentations(scene), 10)
    assert "\u2713" in label(panel, "T2").text


def test_what_is_found_while_a_run_waits_ends_it_with_a_sentence(host, scene, checked, add_volume):
    panel = checked()
    choose_and_segment_at_once(panel, add_volume("T2 red", SHAPE, AFFINE))
    assert host.wait_until(lambda: not panel.controls.running, 10)
    assert panel.ui.statusLabel.text == "T2 is red."
    assert not panel.ui.applyButton.enabled
    assert segmentations(scene) == []


@pytest.mark.parametrize("ends", ["cancel", "scene"])
def test_a_run_that_waits_can_be_cancelled(host, scene, checked, add_volume, ends):
    panel = checked()
    choose_and_segment_at_once(panel, add_volume("T2 good", SHAPE, AFFINE))
    if ends == "cancel":
        panel.ui.applyButton.click()
    else:
        scene.Clear(False)
    assert not panel.controls.running
    host.wait_until(lambda: not panel.inputs.checks.pending, 10)
    host.process_events(0.1)
    assert not panel.controls.running and segmentations(scene) == []
    assert panel.controls.status == ("The run was cancelled." if ends == "cancel" else "")


@pytest.mark.parametrize("name", ["explain", "prepare"])
def test_what_else_runs_on_scans_waits_for_the_look_at_them_too(
    host, widget, checked, add_volume, name
):
    panel = checked()
    ui = panel.inputs.ui if name == "prepare" else widget.componentsPanel.ui
    stage, status = getattr(ui, f"{name}StageLabel"), getattr(ui, f"{name}StatusLabel")
    if name == "prepare":
        ui.prepareCheckBox.checked = True
    choose(panel, add_volume("T2 red", SHAPE, AFFINE))
    getattr(ui, f"{name}Button").click()

    assert stage.text == "Looking at the scans"
    assert not panel.ui.applyButton.enabled  # one run waits at a time
    assert host.wait_until(lambda: status.text == "T2 is red.", 10)
    assert not getattr(ui, f"{name}Button").enabled


def test_a_run_that_waits_gives_way_when_it_is_cancelled(host, widget, checked, add_volume):
    panel = checked()
    choose(panel, add_volume("T2 good", SHAPE, AFFINE))
    widget.componentsPanel.ui.explainButton.click()
    assert not panel.ui.applyButton.enabled
    widget.componentsPanel.ui.explainButton.click()
    assert panel.ui.applyButton.enabled and panel.inputs.checks.pending
