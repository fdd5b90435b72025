"""Segments are corrected by clicking into a slice view, with a small model of random weights."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from engine import tiny as tiny_model_parts
from factorizer_engine.protocol.nesting import mask_of
from host import mouse
from host.windows.clicking import drawn_by_hand, place_of

LABELS = (1, 2, 4)


@pytest.fixture
def corrected(host, module, tiny_case):
    """The panel after a run, on whole tumour; gives a view on the labels, too."""
    ui = module.segmentPanel.ui
    assert ui.applyButton.enabled, ui.applyButton.toolTip
    ui.applyButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    choose_region(module.clicksPanel, "WT")
    return module.clicksPanel


@pytest.fixture
def click(host, module, tiny_case):
    """Click into the axial view at a voxel (i, j, k), and wait for the answer."""

    def click(voxel) -> None:
        mouse.click(host, place_of(tiny_case["FLAIR"], voxel))
        assert host.wait_until(lambda: not module.logic.busy, 60)
        host.process_events(0.2)
        assert host.wait_until(lambda: not module.logic.busy, 60)
        host.process_events(0.05)

    return click


def choose_region(panel, name: str) -> None:
    box = panel.ui.clickRegionComboBox
    box.currentIndex = next(i for i in range(box.count) if box.itemData(i) == name)


def labels(module) -> np.ndarray:
    """Label values (I, J, K) of the corrected segmentation."""
    node = module.logic.getParameterNode().segment.segmentation
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    found = None
    for value in LABELS:
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, f"Label_{value}", scan)
        found = np.zeros(mask.shape, int) if found is None else found
        found[mask != 0] = value
    return found.transpose(2, 1, 0)


def whole(array: np.ndarray) -> np.ndarray:
    return mask_of(array, tiny_model_parts.REGIONS[2], tiny_model_parts.REGIONS)


def some_voxel(module, inside: bool) -> tuple[int, int, int]:
    """A voxel in the middle slices where the whole tumour holds, or does not."""
    held = whole(labels(module))
    places = np.argwhere(held[6:15, 6:13, 8:14] == inside) + [6, 6, 8]
    return tuple(places[len(places) // 2].tolist())


def over_the_voxel(monkeypatch, place) -> None:
    """Put the mouse over a place in a slice view."""
    from FactorizerSegmentationLib.panels import clicks

    monkeypatch.setattr(clicks, "cursorPlace", lambda: tuple(place.tolist()))


def points() -> int:
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    return sum(node.GetNumberOfControlPoints() for node in nodes)


@pytest.mark.parametrize("add", [True, False])
def test_a_click_wins_is_kept_as_a_markup_and_is_undone_and_redone(module, corrected, click, add):
    before, voxel = labels(module), some_voxel(module, inside=not add)
    ui, review = corrected.ui, module.reviewPanel.ui
    button = ui.clickAddButton if add else ui.clickRemoveButton
    assert button.enabled, button.toolTip
    button.click()
    assert button.checked
    click(voxel)

    after = labels(module)
    assert whole(after)[voxel] == add
    assert points() == 1
    assert "mL changed" in ui.clicksStatusLabel.text
    assert "has not learned from clicks" in ui.clicksStatusLabel.text

    review.undoButton.click()
    np.testing.assert_array_equal(labels(module), before)
    assert points() == 0
    review.redoButton.click()
    np.testing.assert_array_equal(labels(module), after)
    assert points() == 1


def test_a_key_places_a_point_where_the_mouse_is(host, module, tiny_case, corrected, monkeypatch):
    voxel = some_voxel(module, inside=False)
    over_the_voxel(monkeypatch, place_of(tiny_case["FLAIR"], voxel))
    assert str(corrected.ui.clickAddButton.shortcut.toString()) == "+"
    corrected.ui.clickAddButton.animateClick()  # as a key does
    over_the_voxel(monkeypatch, place_of(tiny_case["FLAIR"], (0, 0, 0)))
    host.process_events(0.3)
    assert host.wait_until(lambda: not module.logic.busy, 60)
    host.process_events(0.05)
    assert whole(labels(module))[voxel]
    assert not corrected.ui.clickAddButton.checked
    assert points() == 1


def test_what_was_clicked_counts_as_edited_by_hand(host, module, corrected, click):
    corrected.ui.clickAddButton.click()
    click(some_voxel(module, inside=False))
    tree = module.reviewPanel.ui.lesionsTree

    def marked() -> bool:
        rows = range(tree.topLevelItemCount)
        return any("\u270e" in tree.topLevelItem(row).text(0) for row in rows)

    assert host.wait_until(marked, 30)


def test_clicks_go_on_until_the_button_ends_them(host, module, corrected, click):
    ui = corrected.ui
    ui.clickRemoveButton.click()
    first = some_voxel(module, inside=True)
    click(first)
    second = some_voxel(module, inside=True)
    click(second)
    found = whole(labels(module))
    assert not found[first] and not found[second]
    ui.clickRemoveButton.click()
    assert not ui.clickRemoveButton.checked
    assert points() == 2


def test_from_adding_to_removing_is_one_step(module, corrected, click):
    ui, voxel = corrected.ui, some_voxel(module, inside=True)
    ui.clickAddButton.click()
    ui.clickRemoveButton.click()  # for the first time, which makes its markup
    assert ui.clickRemoveButton.checked and not ui.clickAddButton.checked
    click(voxel)
    assert not whole(labels(module))[voxel]


def test_a_click_on_what_is_right_is_said_and_taken_back(module, corrected, click):
    review = module.reviewPanel.ui
    corrected.ui.clickAddButton.click()
    click(some_voxel(module, inside=True))
    assert "Nothing had to change" in corrected.ui.clicksStatusLabel.text
    assert points() == 1
    review.undoButton.click()
    assert points() == 0
    review.redoButton.click()
    assert points() == 1


def test_clicks_on_an_earlier_result_do_not_hold_for_the_next(host, module, corrected, click):
    ui, voxel = corrected.ui, some_voxel(module, inside=False)
    ui.clickAddButton.click()
    click(voxel)
    first = module.logic.getParameterNode().segment.segmentation
    module.segmentPanel.ui.applyButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    ui.clickRemoveButton.click()
    click(voxel)
    assert "contradicts" not in ui.clicksStatusLabel.text
    assert points() == 2
    slicer.mrmlScene.RemoveNode(first)
    host.process_events(0.1)
    assert points() == 1, "what corrected a segmentation goes with it"


def test_what_was_edited_by_hand_since_is_not_undone_by_the_next_click(module, corrected, click):
    ui = corrected.ui
    voxel = some_voxel(module, inside=False)
    ui.clickAddButton.click()
    click(voxel)
    node = module.logic.getParameterNode().segment.segmentation
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    for value in LABELS:
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, f"Label_{value}", scan)
        mask[voxel[2], voxel[1], voxel[0]] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, f"Label_{value}", scan)
    assert not whole(labels(module))[voxel]
    far = next(
        v for v in map(tuple, np.argwhere(~whole(labels(module)))) if abs(v[2] - voxel[2]) > 4
    )
    click(far)
    assert not whole(labels(module))[voxel] or abs(far[2] - voxel[2]) < 6


def test_a_refused_click_leaves_no_markup_and_one_sentence(
    host, module, tiny_case, corrected, click, monkeypatch
):
    ui, voxel = corrected.ui, some_voxel(module, inside=False)
    ui.clickAddButton.click()
    click(voxel)
    before = labels(module)
    place = place_of(tiny_case["FLAIR"], voxel)
    over_the_voxel(monkeypatch, place)
    ui.clickRemoveButton.click()  # as its key does with the mouse there
    host.process_events(0.1)
    assert host.wait_until(lambda: not module.logic.busy, 60)
    assert "contradicts an earlier one" in ui.clicksStatusLabel.text
    np.testing.assert_array_equal(labels(module), before)
    assert points() == 1


def test_a_segment_of_another_segmentation_can_be_the_start(host, module, corrected, click):
    first = module.logic.getParameterNode().segment.segmentation
    scan = first.GetNodeReference(first.GetReferenceImageGeometryReferenceRole())
    drawn, mask = drawn_by_hand(scan, np.s_[8:14, 6:12, 6:12])
    host.process_events(0.1)
    ui = corrected.ui
    titles = [ui.startComboBox.itemText(i) for i in range(ui.startComboBox.count)]
    ui.startComboBox.currentIndex = titles.index("Drawn: Mine")
    ui.startButton.click()

    node = module.logic.getParameterNode().segment.segmentation
    assert node is not first and node is not drawn
    np.testing.assert_array_equal(whole(labels(module)), mask.transpose(2, 1, 0) != 0)
    ui.clickRemoveButton.click()
    click((8, 8, 10))
    assert not whole(labels(module))[8, 8, 10], ui.clicksStatusLabel.text
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(drawn, "mine", scan)
    np.testing.assert_array_equal(kept, mask)


def test_clicks_are_saved_with_the_scene(host, module, corrected, click, reopened):
    voxel = some_voxel(module, inside=False)
    corrected.ui.clickAddButton.click()
    click(voxel)
    corrected.ui.clickAddButton.click()
    place = place_of(slicer.util.getNode("FLAIR"), voxel)
    reopened()
    node = module.logic.getParameterNode().segment.addingClicks
    assert node is not None and node.GetNumberOfControlPoints() == 1
    found = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, found)
    np.testing.assert_allclose(found, place, atol=1.5)
    assert node.GetNthControlPointLabel(0) == "WT"
    corrected.ui.clickRemoveButton.click()
    mouse.click(host, place)
    assert host.wait_until(lambda: "contradicts" in corrected.ui.clicksStatusLabel.text, 60)


def paint(host, module, scribbles, region: str, add: bool, voxels) -> None:
    """What the brush does: voxels (i, j, k) of a segment are set; waits for the answer."""
    segment = f"{'Add' if add else 'Remove'}_{region}"
    scan = scribbles.GetNodeReference(scribbles.GetReferenceImageGeometryReferenceRole())
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(scribbles, segment, scan)
    for i, j, k in voxels:
        mask[k, j, i] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, scribbles, segment, scan)
    host.process_events(0.1)
    assert host.wait_until(lambda: not module.logic.busy, 60)
    host.process_events(0.1)


def painted(scribbles, segment: str) -> int:
    scan = scribbles.GetNodeReference(scribbles.GetReferenceImageGeometryReferenceRole())
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(scribbles, segment, scan).sum())


@pytest.fixture
def brush(host, module, corrected):
    """The segmentation into which scribbles of the whole tumour are painted."""
    corrected.ui.scribbleButton.click()
    host.process_events()
    return module.logic.getParameterNode().segment.scribbles


def test_the_brush_is_the_segment_editors_and_goes_with_the_module(host, module, corrected, brush):
    editor = corrected._brush.widget
    assert editor.visible and editor.segmentationNode() is brush
    assert editor.currentSegmentID() == "Add_WT"
    choose_region(corrected, "ET")
    assert editor.currentSegmentID() == "Add_ET"
    offered = corrected.ui.startComboBox
    assert not any("Scribbles" in offered.itemText(i) for i in range(offered.count))
    corrected.leave()
    assert not corrected.ui.scribbleButton.checked and not editor.visible


@pytest.mark.parametrize("add", [True, False])
def test_a_scribble_wins_everywhere_and_is_undone_and_redone(host, module, corrected, brush, add):
    before, voxel = labels(module), some_voxel(module, inside=not add)
    line = [(voxel[0] + n, voxel[1], voxel[2]) for n in range(-2, 3)]
    paint(host, module, brush, "WT", add, line)
    after = labels(module)
    assert (whole(after)[tuple(np.transpose(line))] == add).all(), (
        corrected.ui.clicksStatusLabel.text
    )
    assert "mL changed" in corrected.ui.clicksStatusLabel.text
    segment = "Add_WT" if add else "Remove_WT"
    assert painted(brush, segment) == len(line)

    review = module.reviewPanel.ui
    review.undoButton.click()
    np.testing.assert_array_equal(labels(module), before)
    assert painted(brush, segment) == 0
    review.redoButton.click()
    np.testing.assert_array_equal(labels(module), after)
    assert painted(brush, segment) == len(line)


def test_later_corrections_leave_scribbles_as_they_are(host, module, corrected, brush, click):
    voxel = some_voxel(module, inside=False)
    paint(host, module, brush, "WT", True, [voxel, (voxel[0] + 1, voxel[1], voxel[2])])
    corrected.ui.clickRemoveButton.click()
    click((voxel[0] - 1, voxel[1], voxel[2]))
    assert whole(labels(module))[voxel]
    assert painted(brush, "Add_WT") == 2


def test_a_scribble_that_is_erased_asks_for_nothing(host, module, corrected, brush):
    voxel = some_voxel(module, inside=False)
    paint(host, module, brush, "WT", True, [voxel])
    after = labels(module)
    scan = brush.GetNodeReference(brush.GetReferenceImageGeometryReferenceRole())
    empty = np.zeros(after.shape[::-1], np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, brush, "Add_WT", scan)
    host.process_events(0.1)
    assert not module.logic.busy
    np.testing.assert_array_equal(labels(module), after)


def test_scribbles_are_saved_with_the_scene(host, module, corrected, brush, tmp_path):
    voxel = some_voxel(module, inside=False)
    paint(host, module, brush, "WT", True, [voxel])
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    host.process_events(0.1)
    assert not corrected.ui.scribbleButton.checked
    slicer.util.loadScene(path)
    host.process_events(0.2)
    assert painted(module.logic.getParameterNode().segment.scribbles, "Add_WT") == 1


def test_without_a_segmentation_the_buttons_say_what_to_do(module, tiny_case):
    button = module.clicksPanel.ui.clickAddButton
    assert not button.enabled
    assert "There is no segmentation yet" in button.toolTip
