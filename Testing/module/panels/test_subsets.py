"""Studies that lack scans, in the panel."""

from __future__ import annotations

import pytest

from module.panels.user import AFFINE, NAMES, SHAPE, run, segmentations

SUBSETS = (
    {"channels": NAMES, "regions": ("ET", "WT"), "dice": {"ET": 0.83, "WT": 0.86}, "cases": 5},
    {"channels": NAMES[:3], "regions": ("ET", "WT"), "dice": {"ET": 0.8, "WT": 0.85}, "cases": 5},
    {"channels": ("FLAIR", "T1", "T2"), "regions": ("WT",), "dice": {"WT": 0.84}, "cases": 5},
    {"channels": ("T1", "T1ce", "T2"), "regions": ("ET",), "dice": {"ET": 0.8, "WT": 0.3}},
    {"channels": ("T1",), "regions": (), "dice": {"WT": 0.21}, "cases": 5},
)


@pytest.fixture
def inputs(host, widget, panel, add_model, volumes):
    """The panel with a model that does without some of its scans."""
    labels = [{"value": 2, "name": "Oedema", "color": [0, 0, 0]}]
    add_model("frugal", subsets=SUBSETS, labels=labels)
    widget.enter()
    models = panel.inputs.ui.modelComboBox
    models.currentIndex = models.findText("Model frugal")
    host.process_events()
    return panel.inputs


def leave_out(host, inputs, *names: str) -> None:
    for name in names:
        inputs.channels.selector(name).setCurrentNode(None)
    host.process_events()


def test_nothing_is_said_while_all_scans_are_there(panel, inputs):
    assert panel.ui.applyButton.enabled
    assert not inputs.ui.subsetLabel.visible


def test_an_empty_row_is_left_out_and_its_cost_is_said(host, panel, inputs):
    leave_out(host, inputs, "T2")
    assert panel.ui.applyButton.enabled
    assert inputs.channels.selector("T2").noneDisplay == "Left out: no T2"
    assert inputs.ui.subsetLabel.visible
    assert inputs.ui.subsetLabel.text == (
        "Left out: T2. Mean Dice on 5 unseen cases: the ET 0.80 (0.83 with all scans), the WT 0.85 "
        "(0.86 with all scans)."
    )
    assert list(inputs.settings().volumeIds) == list(NAMES[:3])


def test_what_cannot_be_seen_is_said(host, panel, inputs):
    leave_out(host, inputs, "T1ce")
    assert panel.ui.applyButton.enabled
    assert "The ET cannot be seen with FLAIR, T1 and T2 alone" in inputs.ui.subsetLabel.text


def test_scans_that_are_not_enough_are_refused_with_what_to_add(host, panel, inputs):
    leave_out(host, inputs, "FLAIR", "T1ce", "T2")
    assert not panel.ui.applyButton.enabled
    assert "With T1 alone the model is not reliable" in panel.ui.applyButton.toolTip
    assert "add FLAIR and T1ce, FLAIR and T2 or T1ce and T2" in inputs.ui.subsetLabel.text
    leave_out(host, inputs, "T1")
    assert "Choose the volume for FLAIR, T1, T1ce, T2" in panel.ui.applyButton.toolTip


def test_a_row_that_the_user_has_emptied_stays_empty(host, inputs, volumes, add_volume):
    leave_out(host, inputs, "T2")
    add_volume("Other", SHAPE)
    host.process_events()
    assert inputs.channels.volumes()["T2"] is None
    inputs.channels.selector("T2").setCurrentNode(volumes["T2"])
    inputs.channels.setVolumes({"T2": None})
    inputs.fillEmptyChannels()
    assert inputs.channels.volumes()["T2"] is volumes["T2"]


def test_the_row_of_a_deleted_scan_takes_a_new_one(host, scene, inputs, volumes, add_volume):
    scene.RemoveNode(volumes["T2"])
    host.process_events()
    new = add_volume("T2", SHAPE, AFFINE)
    host.process_events()
    assert inputs.channels.volumes()["T2"] is new


def test_without_its_first_scan_the_result_lies_on_the_next(
    host, scene, panel, inputs, volumes, fake_python
):
    leave_out(host, inputs, "FLAIR")
    assert inputs.settings().referenceId == volumes["T1"].GetID()
    run(host, panel, fake_python("answer"))
    (found,) = segmentations(scene)
    assert found.GetName() == "T1 segmentation"


def test_a_segmentation_of_other_scans_is_not_updated(host, scene, inputs, volumes):
    """The oedema of a result with all scans would get the whole tumour."""
    target = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Before")
    target.GetSegmentation().AddEmptySegment("Label_2", "Oedema")
    target.SetReferenceImageGeometryParameterFromVolumeNode(volumes["FLAIR"])
    inputs.ui.boxCheckBox.checked = True
    inputs.ui.boxSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode"))
    inputs.ui.targetSelector.setCurrentNode(target)
    host.process_events()
    assert "made of other scans" not in inputs.problem()

    leave_out(host, inputs, "T1ce")
    assert "'Before' was made of other scans; choose a new" in inputs.problem()
    target.GetSegmentation().GetSegment("Label_2").SetName("What I found")
    host.process_events()
    assert "made of other scans" not in inputs.problem()


def test_clicks_correct_only_what_is_looked_for_in_the_scans(
    host, scene, widget, panel, inputs, fake_python
):
    clicks = widget.clicksPanel.ui
    run(host, panel, fake_python("answer"))
    (found,) = segmentations(scene)
    found.GetSegmentation().AddEmptySegment("Label_2", "Oedema")
    assert clicks.clickAddButton.enabled, clicks.clickAddButton.toolTip
    leave_out(host, inputs, "T1ce")
    box = clicks.clickRegionComboBox
    assert [box.itemData(index) for index in range(box.count)] == ["WT"]
    assert "was made of other scans" in clicks.clickAddButton.toolTip
