"""Segmenting inside a box, clicked through the panel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.scene.boxes import createBox
from FactorizerSegmentationLib.scene.editor import openSegmentEditor
from module.geometry import apply
from module.panels.user import AFFINE, run, segmentations

ENHANCING = (slice(1, 3), slice(2, 4), slice(4, 6))
"""What the fake engine finds as label 4, in Slicer's order (k, j, i)."""


@pytest.fixture
def box(scene):
    """A box over the right half of the scans, which holds the enhancing block alone."""
    middle = apply(AFFINE, (5.5, 3.0, 2.5))
    return createBox(scene, middle, np.abs(AFFINE[:3, :3] @ (4, 8, 7)))


@pytest.fixture
def result(host, scene, panel, volumes, fake_python):
    """The segmentation of a first run of the whole scan."""
    run(host, panel, fake_python("answer"))
    (node,) = segmentations(scene)
    return node


def mask_of(node, segment: str, volume) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume) != 0


def paint(node, segment: str, voxels, volume, value=1) -> None:
    """Edit a segment by hand; `voxels` in (k, j, i)."""
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
    mask[voxels] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment, volume)


def choose(panel, box, target=None) -> None:
    panel.inputs.ui.boxCheckBox.checked = True
    panel.inputs.ui.boxSelector.setCurrentNode(box)
    panel.inputs.ui.targetSelector.setCurrentNode(target)


def test_the_choices_are_hidden_until_they_are_wanted(panel, volumes):
    assert not panel.inputs.ui.boxSettings.visible
    assert panel.ui.applyButton.text == "Segment"

    panel.inputs.ui.boxCheckBox.click()

    assert panel.inputs.ui.boxSettings.isVisibleTo(panel.widget)
    assert panel.ui.applyButton.text == "Segment inside the box"


def test_the_first_box_is_made_over_the_middle_of_the_scan(panel, volumes):
    panel.inputs.ui.boxCheckBox.click()

    node = panel.inputs.ui.boxSelector.currentNode()
    assert node.GetCenter() == pytest.approx(apply(AFFINE, (3.5, 3.0, 2.5)), abs=1e-6)
    assert panel.ui.applyButton.enabled
    assert node.GetDisplayNode().GetHandlesInteractive()


def test_the_box_is_seen_while_it_is_used(panel, volumes):
    panel.inputs.ui.boxCheckBox.click()
    display = panel.inputs.ui.boxSelector.currentNode().GetDisplayNode()
    assert display.GetVisibility()

    panel.inputs.ui.boxCheckBox.click()
    assert not display.GetVisibility()
    assert panel.ui.applyButton.text == "Segment"

    panel.inputs.ui.boxCheckBox.click()
    assert display.GetVisibility()


def test_a_new_box_lies_around_the_selected_lesion(widget, panel, result):
    tree = widget.reviewPanel.ui.lesionsTree
    tree.setCurrentItem(tree.topLevelItem(1))

    panel.inputs.ui.boxCheckBox.click()

    node = panel.inputs.ui.boxSelector.currentNode()
    assert node.GetCenter() == pytest.approx(apply(AFFINE, (1.0, 2.5, 1.5)), abs=1e-3)
    assert node.GetSize() == pytest.approx((29.0, 29.0, 29.0))


def test_without_a_box_the_button_says_what_to_do(host, scene, panel, volumes, box):
    choose(panel, box)
    assert panel.ui.applyButton.enabled

    scene.RemoveNode(box)
    host.process_events()

    assert not panel.ui.applyButton.enabled
    assert "Select a box" in panel.ui.applyButton.toolTip


def test_a_box_or_target_that_is_deleted_is_not_replaced_by_another(
    host, scene, panel, result, box
):
    createBox(scene, (0, 0, 0), (9, 9, 9))
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Of the user")
    choose(panel, box, result)

    scene.RemoveNode(box)
    scene.RemoveNode(result)
    host.process_events()

    assert panel.inputs.ui.boxSelector.currentNode() is None
    assert panel.inputs.ui.targetSelector.currentNode() is None
    assert "Select a box" in panel.ui.applyButton.toolTip


def test_a_new_segmentation_holds_what_lies_in_the_box(
    host, scene, widget, panel, volumes, box, fake_python
):
    choose(panel, box)

    run(host, panel, fake_python("answer"))

    (node,) = segmentations(scene)
    assert mask_of(node, "Label_4", volumes["FLAIR"])[ENHANCING].all()
    assert not mask_of(node, "Label_1", volumes["FLAIR"]).any()
    assert "Inside the box: " in panel.ui.statusLabel.text
    assert widget.reviewPanel.ui.lesionsBox.title == "Lesions inside the box"
    assert slicer.util.getNode("FLAIR lesions inside the box") is not None
    assert not widget.reviewPanel.ui.undoButton.enabled


def test_the_last_result_is_proposed_for_the_update_and_the_button_says_so(panel, result):
    panel.inputs.ui.boxCheckBox.click()

    assert panel.inputs.ui.targetSelector.currentNode() is result
    assert panel.ui.applyButton.text == "Update inside the box"
    assert result.GetName() in panel.ui.applyButton.toolTip


def test_a_run_in_a_box_is_quick_unless_switched_off(panel, volumes, box):
    choose(panel, box)
    assert panel.inputs.settings().quick

    panel.inputs.ui.quickCheckBox.click()
    assert not panel.inputs.settings().quick

    panel.inputs.ui.quickCheckBox.click()
    panel.inputs.ui.boxCheckBox.click()
    assert not panel.inputs.settings().quick


def test_an_update_replaces_what_is_in_the_box_and_nothing_outside(
    host, scene, widget, panel, volumes, result, box, fake_python
):
    flair = volumes["FLAIR"]
    paint(result, "Label_4", ENHANCING, flair, 0)
    paint(result, "Label_1", (0, 6, 7), flair)  # in the box: wrong, as the model sees it
    paint(result, "Label_1", (0, 0, 0), flair)  # outside: the user's own
    core = mask_of(result, "Label_1", flair)
    editors = slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode", scene)
    choose(panel, box, result)

    run(host, panel, fake_python("answer"))

    assert segmentations(scene) == [result]
    assert mask_of(result, "Label_4", flair)[ENHANCING].all()
    expected = core.copy()
    expected[0, 6, 7] = False
    np.testing.assert_array_equal(mask_of(result, "Label_1", flair), expected)
    assert slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode", scene) == editors


def test_an_update_ignores_what_was_found_outside_the_box(
    host, panel, volumes, result, box, fake_python
):
    flair = volumes["FLAIR"]
    paint(result, "Label_4", ENHANCING, flair, 0)
    paint(result, "Label_1", np.s_[:], flair, 0)  # all outside the box
    choose(panel, box, result)

    run(host, panel, fake_python("spill"))

    assert mask_of(result, "Label_4", flair)[ENHANCING].all()
    assert not mask_of(result, "Label_1", flair).any()


def test_an_update_leaves_segments_of_the_user_whole(
    host, panel, volumes, result, box, fake_python
):
    flair = volumes["FLAIR"]
    paint(result, "Label_4", ENHANCING, flair, 0)
    own = result.GetSegmentation().AddEmptySegment("cavity", "Cavity")
    paint(result, own, ENHANCING, flair)
    choose(panel, box, result)

    run(host, panel, fake_python("answer"))

    assert mask_of(result, own, flair)[ENHANCING].all()
    assert mask_of(result, own, flair).sum() == 8
    assert mask_of(result, "Label_4", flair)[ENHANCING].all()


def test_an_update_can_be_taken_back_and_keeps_what_was_edited_since(
    host, scene, widget, panel, volumes, result, box, fake_python
):
    flair = volumes["FLAIR"]
    paint(result, "Label_4", ENHANCING, flair, 0)
    paint(result, "Label_1", (0, 6, 7), flair)
    before = {name: mask_of(result, name, flair) for name in ("Label_1", "Label_4")}
    choose(panel, box, result)
    run(host, panel, fake_python("answer"))
    undo = widget.reviewPanel.ui.undoButton
    assert undo.enabled
    paint(result, "Label_1", (0, 0, 0), flair)

    undo.click()

    before["Label_1"][0, 0, 0] = True
    for name, mask in before.items():
        np.testing.assert_array_equal(mask_of(result, name, flair), mask)
    assert not undo.enabled
    assert widget.reviewPanel.ui.lesionsBox.title == "Lesions"

    widget.reviewPanel.ui.redoButton.click()

    assert mask_of(result, "Label_4", flair)[ENHANCING].all()
    assert widget.reviewPanel.ui.lesionsBox.title == "Lesions inside the box"


def test_an_update_of_an_earlier_result_that_is_taken_back_leaves_the_last_one_listed(
    host, scene, widget, panel, box, result, fake_python
):
    own = widget.logic.getParameterNode().segment
    run(host, panel, fake_python("answer"))
    last = own.segmentation, own.lesionTable
    choose(panel, box, result)
    run(host, panel, fake_python("answer"))
    assert own.segmentation is result is not last[0]
    updated = own.lesionTable

    widget.reviewPanel.ui.undoButton.click()
    assert (own.segmentation, own.lesionTable) == last
    widget.reviewPanel.ui.redoButton.click()
    assert (own.segmentation, own.lesionTable) == (result, updated)
    panel.inputs.ui.boxCheckBox.checked = False
    run(host, panel, fake_python("answer"))
    newest = own.segmentation, own.lesionTable
    widget.reviewPanel.ui.undoButton.click()
    assert (own.segmentation, own.lesionTable) == newest


def test_an_update_is_one_step_of_the_segment_editors_undo(
    host, widget, panel, volumes, result, box, fake_python
):
    flair = volumes["FLAIR"]
    paint(result, "Label_4", ENHANCING, flair, 0)
    openSegmentEditor(result)
    host.select_module("FactorizerSegmentation")
    choose(panel, box, result)
    run(host, panel, fake_python("answer"))
    assert mask_of(result, "Label_4", flair).any()

    slicer.modules.SegmentEditorWidget.editor.undo()

    assert not mask_of(result, "Label_4", flair).any()


def test_a_deleted_segment_comes_back_where_it_is_found(
    host, panel, volumes, result, box, fake_python
):
    result.GetSegmentation().RemoveSegment("Label_4")
    result.GetSegmentation().RemoveSegment("Label_1")
    choose(panel, box, result)

    run(host, panel, fake_python("answer"))

    assert result.GetSegmentation().GetSegmentIDs() == ("Label_4",)
    assert mask_of(result, "Label_4", volumes["FLAIR"]).sum() == 8


def test_the_segmentation_of_another_scan_is_not_updated(panel, add_volume, result, box):
    other = add_volume("Other", (4, 4, 4))
    result.SetReferenceImageGeometryParameterFromVolumeNode(other)

    choose(panel, box, result)

    assert not panel.ui.applyButton.enabled
    assert "belongs to another scan than 'FLAIR'" in panel.ui.applyButton.toolTip


def test_the_choices_cannot_be_changed_during_a_run(host, panel, volumes, box, fake_python):
    choose(panel, box)
    panel.ui.pythonLineEdit.text = fake_python("obey")
    panel.ui.applyButton.click()
    assert host.wait_until(lambda: panel.ui.progressBar.value > 0)

    assert not panel.inputs.ui.boxCheckBox.enabled
    assert not panel.inputs.ui.boxSelector.enabled
    panel.ui.applyButton.click()
    assert host.wait_until(lambda: not panel.controls.running)
    assert panel.inputs.ui.boxSelector.enabled
