"""Looking at lesions, accepting and rejecting them, clicked and typed in the panel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from module.geometry import apply
from module.panels.user import AFFINE, SHAPE, current_widget, run, segmentations

ENHANCING, CORE = "Label_4", "Label_1"
"""The segments of the fake engine's two lesions; the first is the larger one."""


@pytest.fixture
def review(host, widget, panel, volumes, fake_python):
    """The panel after a run."""
    run(host, panel, fake_python("answer"))
    return widget.reviewPanel


@pytest.fixture
def result(scene, review):
    (node,) = segmentations(scene)
    return node


def voxels(node, segment: str) -> int:
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan(node)).sum())


def scan(node):
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def choose(review, row: int) -> None:
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(row))


def press(review, key: str) -> None:
    from PySide6 import QtTest

    QtTest.QTest.keyClick(review.ui.lesionsTree, key)


def ticked(review) -> list[bool]:
    tree = review.ui.lesionsTree
    rows = range(tree.topLevelItemCount)
    return [tree.topLevelItem(row).checkState(0).value == 2 for row in rows]


def blue_pixels(host) -> int:
    """In the axial view, as the short diameter has them."""
    host.process_events(0.2)
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    image = view.grab().toImage()
    colors = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    return sum(c.blue() > 150 and c.red() < c.blue() - 80 for c in colors)


def rulers(scene) -> list:
    return slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode", scene)


def test_each_lesion_has_its_measures_its_place_and_its_parts(review):
    tree = review.ui.lesionsTree

    first = tree.topLevelItem(0)
    assert [first.text(column) for column in range(4)] == [
        "1: right, anterior",
        "4.00",
        "2.0 \u00d7 3.0",
        "80",
    ]
    assert first.childCount() == 1
    assert first.child(0).text(0) == "Enhancing"
    assert not review.ui.noLesionsLabel.visible


def test_clicking_moves_the_slices_and_draws_the_diameters_there(scene, review):
    red = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    red.JumpSliceByCentering(0, 0, 0)

    choose(review, 1)

    height = apply(AFFINE, (1.0, 2.5, 1.0))[2]
    assert red.GetSliceToRAS().GetElement(2, 3) == pytest.approx(height)
    lesion = review.lesions.current
    ends = [slicer.util.arrayFromMarkupsControlPoints(node) for node in rulers(scene)]
    expected = [(r.start, r.end) for r in (lesion.long_axis, lesion.short_axis)]
    np.testing.assert_allclose(ends, expected, atol=1e-6)
    assert {round(end[2], 6) for line in ends for end in line} == {round(height, 6)}
    assert "1.50 mL" in review.ui.lesionLabel.text
    assert "right, anterior" in review.ui.lesionLabel.text


def test_the_list_and_the_table_follow_at_once_when_a_class_is_renamed(scene, review, result):
    table = slicer.util.getNode("FLAIR lesions")
    part = review.ui.lesionsTree.topLevelItem(0).child(0)
    before = part.icon(0).pixmap(14, 14).toImage().pixelColor(7, 7).name()
    choose(review, 0)
    review.ui.acceptButton.click()

    segment = result.GetSegmentation().GetSegment(ENHANCING)  # as the Segment Editor does it
    segment.SetName("Contrast")
    segment.SetColor(0.0, 0.0, 1.0)

    assert part.text(0) == part.toolTip(0) == "Contrast"
    assert before != part.icon(0).pixmap(14, 14).toImage().pixelColor(7, 7).name() == "#0000ff"
    assert "Contrast: Volume [mL]" in columns(table)
    assert not [title for title in columns(table) if title.startswith("Enhancing")]
    assert review.ui.lesionsTree.topLevelItem(0).text(0).startswith("\u2713")


def columns(tableNode) -> list[str]:
    return [tableNode.GetColumnName(column) for column in range(tableNode.GetNumberOfColumns())]


def test_there_are_two_rulers_whatever_was_clicked_and_none_while_away(scene, review):
    choose(review, 0)
    choose(review, 1)
    assert len(rulers(scene)) == 2

    current_widget().exit()
    assert rulers(scene) == []

    current_widget().enter()
    assert len(rulers(scene)) == 2


def test_rulers_that_are_gone_are_not_drawn_any_more(host, scene, review):
    before = blue_pixels(host)
    choose(review, 0)
    drawn = blue_pixels(host)
    choose(review, 1)
    review.ui.lesionsTree.clearSelection()

    assert drawn > before == blue_pixels(host)
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsDisplayNode", scene) == []


def test_a_lesion_without_its_tick_leaves_the_segments_and_comes_back_with_it(review, result):
    import qt

    first = review.ui.lesionsTree.topLevelItem(0)

    first.setCheckState(0, qt.Qt.Unchecked)
    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (0, 12)

    first.setCheckState(0, qt.Qt.Checked)
    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (8, 12)


def test_keys_accept_and_reject_and_go_on(review, result):
    choose(review, 0)
    press(review, "A")
    assert review.ui.lesionsTree.topLevelItem(0).text(0).startswith("\u2713")

    press(review, "R")
    assert ticked(review) == [True, False]
    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (8, 0)


def test_buttons_do_the_same(review, result):
    assert not review.ui.rejectButton.enabled
    assert "Choose a lesion" in review.ui.rejectButton.toolTip
    choose(review, 0)

    review.ui.rejectButton.click()
    review.ui.acceptButton.click()

    assert ticked(review) == [False, True]
    assert review.ui.lesionsTree.topLevelItem(1).text(0).startswith("\u2713")


def test_every_step_is_undone_and_redone(review, result):
    choose(review, 0)
    review.ui.rejectButton.click()
    choose(review, 1)
    review.ui.acceptButton.click()

    review.ui.undoButton.click()
    assert not review.ui.lesionsTree.topLevelItem(1).text(0).startswith("\u2713")
    assert "lesion 1 rejected" in review.ui.undoButton.toolTip
    review.ui.undoButton.click()
    assert ticked(review) == [True, True]
    assert voxels(result, ENHANCING) == 8
    assert not review.ui.undoButton.enabled

    review.ui.redoButton.click()
    assert voxels(result, ENHANCING) == 0
    review.ui.redoButton.click()
    assert review.ui.lesionsTree.topLevelItem(1).text(0).startswith("\u2713")
    assert not review.ui.redoButton.enabled
    assert review.ui.redoButton.toolTip == "Nothing to do again."


def test_a_step_that_is_undone_in_an_earlier_result_is_told(host, panel, review, result):
    choose(review, 0)
    review.ui.rejectButton.click()
    run(host, panel, panel.ui.pythonLineEdit.text)
    assert not result.GetDisplayVisibility()
    where = "lesion 1 rejected, in the other result 'FLAIR segmentation', which is hidden"
    assert review.ui.undoButton.toolTip == f"Take back: {where}"

    review.ui.undoButton.click()
    assert voxels(result, ENHANCING) == 8 and ticked(review) == [True, True]
    assert review.ui.stepLabel.text == f"Taken back: {where}."
    assert review.ui.stepLabel.isVisibleTo(review.widget)
    result.SetDisplayVisibility(True)
    review.ui.redoButton.click()
    assert review.ui.stepLabel.text.startswith("Done again: lesion 1 rejected")
    assert "hidden" not in review.ui.stepLabel.text

    choose(review, 1)  # the sentence is about what was done before
    assert not review.ui.stepLabel.isVisibleTo(review.widget)
    review.ui.rejectButton.click()
    review.ui.undoButton.click()
    assert not review.ui.stepLabel.isVisibleTo(review.widget)


def test_what_was_painted_on_a_lesion_goes_and_comes_with_it_and_nothing_else(review, result):
    edit(result, ENHANCING, (1, 4, 5), 1)  # touches the lesion, in (k, j, i)
    edit(result, ENHANCING, (5, 6, 0), 1)  # does not
    choose(review, 0)

    review.ui.rejectButton.click()
    assert voxels(result, ENHANCING) == 1

    choose(review, 0)
    review.ui.acceptButton.click()
    assert voxels(result, ENHANCING) == 10


def test_what_was_painted_in_the_place_of_a_rejected_lesion_stays(review, result):
    choose(review, 0)
    review.ui.rejectButton.click()
    edit(result, CORE, (1, 2, 4), 1)

    choose(review, 0)
    review.ui.acceptButton.click()

    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (7, 13)


def edit(node, segment: str, voxel: tuple[int, int, int], value: int) -> None:
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan(node))
    mask[voxel] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), node, segment, scan(node)
    )


def test_verdicts_survive_the_module_and_a_rejected_lesion_can_come_back(
    host, widget, review, result, reloading
):
    choose(review, 0)
    review.ui.rejectButton.click()
    widget.onReload()  # nothing is left but the scene
    host.process_events()
    fresh = current_widget().reviewPanel
    assert ticked(fresh) == [False, True]

    choose(fresh, 0)
    fresh.ui.acceptButton.click()

    assert voxels(result, ENHANCING) == 8


def test_a_deleted_result_leaves_the_panel(host, scene, review, result):
    choose(review, 0)
    review.ui.rejectButton.click()
    scene.RemoveNode(result)
    host.process_events()
    assert not review.ui.show3DCheckBox.enabled
    assert not review.ui.acceptButton.enabled
    assert not review.ui.undoButton.enabled
    assert "was deleted" in review.ui.acceptButton.toolTip
    press(review, "A")
    assert ticked(review) == [False, True]

    scene.RemoveNode(slicer.util.getNode("FLAIR lesions"))
    host.process_events()
    assert not review.ui.lesionsBox.visible
    assert review.ui.noLesionsLabel.visible
    assert rulers(scene) == []


def test_without_scan_and_table_of_lesions_the_scan_is_asked_for(
    host, scene, review, result, volumes
):
    label = review.ui.noLesionsLabel
    scene.RemoveNode(volumes["FLAIR"])
    scene.RemoveNode(slicer.util.getNode("FLAIR lesions"))
    host.process_events()
    assert label.visible and "scan of the segmentation was deleted" in label.text
    scene.RemoveNode(result)
    host.process_events()
    assert label.text.startswith("The lesions are listed here")


def test_without_its_scan_a_result_can_be_looked_at_only(host, scene, review, volumes):
    scene.RemoveNode(volumes["FLAIR"])
    host.process_events()
    choose(review, 0)

    assert not review.ui.rejectButton.enabled
    assert "scan" in review.ui.rejectButton.toolTip
    press(review, "R")
    assert ticked(review) == [True, True]


def test_a_scan_that_is_loaded_again_is_that_of_its_result(
    host, scene, review, result, volumes, add_volume
):
    """But no other one at its place, such as that of another patient."""
    array = slicer.util.arrayFromVolume(volumes["FLAIR"]).copy()
    scene.RemoveNode(volumes["FLAIR"])
    host.process_events()
    choose(review, 0)
    other = add_volume("FLAIR", SHAPE, AFFINE)
    slicer.util.updateVolumeFromArray(other, array[::-1].copy())
    host.process_events()
    assert not review.ui.rejectButton.enabled
    add_volume("Renamed", SHAPE, AFFINE)
    host.process_events()
    choose(review, 0)
    review.ui.rejectButton.click()
    assert voxels(result, ENHANCING) == 0
    review.ui.undoButton.click()
    assert voxels(result, ENHANCING) == 8


def test_closing_the_scene_empties_the_panel(host, scene, review):
    choose(review, 0)
    review.ui.rejectButton.click()

    scene.Clear(False)
    host.process_events()

    assert not review.ui.lesionsBox.visible
    assert not review.ui.undoButton.enabled
