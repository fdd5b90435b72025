"""Components put to work: made a part of segments, and a limit for brushes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from module.panels.test_component_browser import browser, open_section  # noqa: F401
from module.panels.user import saved, segmentations

ENHANCING, CORE = "Label_4", "Label_1"
"""Enhancing is [4:6, 2:4, 1:3] and core [0:3, 2:4, 1:3], where the components are active."""


@pytest.fixture
def work(host, widget, browser):  # noqa: F811
    """The panel while the activity of the first component, 2 to 4 in the core, is shown."""
    open_section(host, widget)
    browser.ui.mapComboBox.currentIndex = 1
    host.process_events()
    return widget.componentWorkPanel


@pytest.fixture
def result(scene, work):
    (node,) = (n for n in segmentations(scene) if n.GetName() != "Proposal")
    return node


def voxels(node, segment: str) -> int:
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan).sum())


def choose(host, work, segment: str, operation: str, place: str = "everywhere") -> None:
    ui = work.ui
    for combo, value in (
        (ui.workSegmentComboBox, segment),
        (ui.workOperationComboBox, operation),
        (ui.workPlaceComboBox, place),
    ):
        assert combo.findData(value) >= 0
        combo.currentIndex = combo.findData(value)
    host.process_events()


def apply(host, work, level: float) -> None:
    work.ui.workLevelSlider.value = level
    work.ui.workApplyButton.click()
    host.process_events()


def undo(host, widget) -> None:
    widget.reviewPanel.ui.undoButton.click()
    host.process_events()


def test_it_is_there_only_while_a_component_is_shown(host, widget, work, result):
    assert work.ui.workBox.visible
    assert work.ui.workSegmentComboBox.count == result.GetSegmentation().GetNumberOfSegments() + 1
    widget.componentsPanel.ui.hideHeatmapButton.click()
    host.process_events()
    assert not work.ui.workBox.visible


def test_what_one_class_gains_the_others_lose_and_undo_gives_it_back(host, widget, work, result):
    choose(host, work, ENHANCING, "add")
    apply(host, work, 75)
    gained = voxels(result, ENHANCING) - 8
    assert 0 < gained < 12
    assert voxels(result, CORE) == 12 - gained
    told = widget.reviewPanel.ui.undoButton.toolTip
    assert told == "Take back: segment changed by a component"

    undo(host, widget)
    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (8, 12)
    widget.reviewPanel.ui.redoButton.click()
    host.process_events()
    assert voxels(result, ENHANCING) == 8 + gained


def test_a_hidden_segment_keeps_what_it_has(host, work, result):
    result.GetDisplayNode().SetSegmentVisibility(CORE, False)
    choose(host, work, ENHANCING, "add")
    apply(host, work, 75)

    assert (voxels(result, ENHANCING), voxels(result, CORE)) == (8, 12)


def test_segments_can_be_cut_down_to_a_component_or_by_it(host, widget, work, result):
    choose(host, work, CORE, "intersect")
    apply(host, work, 75)
    kept = voxels(result, CORE)
    undo(host, widget)
    choose(host, work, CORE, "subtract")
    apply(host, work, 75)

    assert 0 < kept < 12
    assert voxels(result, CORE) == 12 - kept


def test_a_new_segment_comes_and_goes(host, widget, work, result):
    segmentation = result.GetSegmentation()
    before = segmentation.GetNumberOfSegments()
    choose(host, work, "", "add")
    assert not work.ui.workOperationComboBox.enabled
    apply(host, work, 40)
    made = segmentation.GetNthSegmentID(before)
    assert voxels(result, made) == 12 and voxels(result, CORE) == 12
    assert segmentation.GetSegment(made).GetName().startswith("Component 1")
    colors = [np.array(segmentation.GetNthSegment(n).GetColor()) for n in range(before + 1)]
    assert min(np.abs(colors[-1] - other).max() for other in colors[:-1]) > 0.3
    assert work.ui.workSegmentComboBox.currentText == "A new segment"

    undo(host, widget)
    assert segmentation.GetNumberOfSegments() == before
    widget.reviewPanel.ui.redoButton.click()
    host.process_events()
    assert voxels(result, made) == 12


def test_a_segment_of_a_component_that_overlaps_others_is_left_out_of_files(
    host, widget, work, result, tmp_path
):
    choose(host, work, "", "add")
    apply(host, work, 40)
    assert "Reports leave it out" in work.ui.workLabel.text
    assert names_in_file(result, tmp_path) == ["Core", "Enhancing"]
    assert saved(result, tmp_path / "segments.npy").edited == (), "nor is it told of"

    segmentation = result.GetSegmentation()
    segmentation.RemoveSegment(CORE)
    (made,) = (name for name in segmentation.GetSegmentIDs() if name.startswith("Component"))
    segmentation.SetSegmentIndex(made, 0)
    assert names_in_file(result, tmp_path) == ["Enhancing", "Component 1 (activity)"]
    file = saved(result, tmp_path / "segments.npy")
    assert (file.edited, file.added) == (("Component 1 (activity)",), ()), "of model and user"


def names_in_file(result, folder) -> list[str]:
    return [label.name for label in saved(result, folder / "segments.npy").labels]


def test_what_changes_nothing_is_no_step(host, widget, work, result):
    choose(host, work, CORE, "add")
    apply(host, work, 40)

    assert "Nothing would change" in work.ui.workLabel.text
    assert not widget.reviewPanel.ui.undoButton.enabled


def test_the_preview_follows_the_slider_and_changes_nothing(host, scene, work, result):
    choose(host, work, CORE, "subtract")
    work.ui.workPreviewButton.click()
    said = []
    for level in (40, 90):
        work.ui.workLevelSlider.value = level
        said.append(work.ui.workLabel.text)
    (proposal,) = (n for n in segmentations(scene) if n.GetName() == "Proposal")

    assert said[0] == "Takes 0.072 mL away." and said[1] != said[0]
    assert voxels(proposal, "Label_1") < 12
    assert voxels(result, CORE) == 12

    work.ui.workPreviewButton.click()
    host.process_events()
    assert segmentations(scene) == [result]
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene)
    assert displays == [result.GetDisplayNode()]


def test_it_works_at_the_selected_lesion_only(host, widget, work, result):
    choose(host, work, CORE, "subtract", "lesion")
    apply(host, work, 40)
    assert "Choose a lesion" in work.ui.workLabel.text and voxels(result, CORE) == 12

    tree = widget.reviewPanel.ui.lesionsTree
    tree.setCurrentItem(tree.topLevelItem(1))
    host.process_events()
    table = widget.componentsPanel.ui.componentsTable
    table.setCurrentItem(table.item(0, 0))
    host.process_events()
    apply(host, work, 40)
    assert voxels(result, CORE) == 0


def test_it_works_inside_the_box_only(host, widget, work, result):
    choose(host, work, CORE, "subtract", "box")
    apply(host, work, 40)
    assert "no box" in work.ui.workLabel.text and voxels(result, CORE) == 12

    widget.inputsPanel.ui.boxCheckBox.click()
    host.process_events()
    box = widget.logic.getParameterNode().inputs.box
    scan = result.GetNodeReference(result.GetReferenceImageGeometryReferenceRole())
    bounds = np.zeros(6)
    scan.GetRASBounds(bounds)
    box.SetCenter(*((bounds[::2] + bounds[1::2]) / 2).tolist())
    box.SetSize(*(bounds[1::2] - bounds[::2]).tolist())
    apply(host, work, 40)
    assert voxels(result, CORE) == 0

    undo(host, widget)
    box.SetCenter(1000.0, 0.0, 0.0)
    apply(host, work, 40)
    assert voxels(result, CORE) == 12
    widget.inputsPanel.ui.boxCheckBox.click()


def test_a_component_of_another_scan_is_refused(host, widget, work, result, add_volume):
    other = add_volume("Other", (3, 3, 3))
    result.SetReferenceImageGeometryParameterFromVolumeNode(other)
    choose(host, work, CORE, "subtract")
    apply(host, work, 40)

    assert "another scan" in work.ui.workLabel.text


def test_brushes_are_not_bound_to_a_volume_that_is_no_component(widget, work):
    widget.componentsPanel.shownNode.RemoveAttribute("FactorizerSegmentation.Component")
    work.ui.workMaskCheckBox.click()

    assert "shows no component" in work.ui.workLabel.text
    assert not work.ui.workMaskCheckBox.checked


def test_brushes_keep_to_the_component_until_it_is_hidden(host, widget, work, result, volumes):
    work.ui.workLevelSlider.value = 75
    work.ui.workMaskCheckBox.click()
    host.process_events()
    editor = widget.editPanel.editor.widget
    node, shown = editor.mrmlSegmentEditorNode(), widget.componentsPanel.shownNode
    assert editor.sourceVolumeNode() is shown
    assert node.GetSourceVolumeIntensityMask()
    low, high = node.GetSourceVolumeIntensityMaskRange()
    assert low == pytest.approx(3.0) and high == pytest.approx(4.0, abs=0.05)

    work.ui.workLevelSlider.value = 50
    assert node.GetSourceVolumeIntensityMaskRange()[0] == pytest.approx(2.0)

    widget.componentsPanel.ui.hideHeatmapButton.click()
    host.process_events()
    assert not node.GetSourceVolumeIntensityMask()
    assert editor.sourceVolumeNode() is volumes["FLAIR"]


def regions() -> list:
    found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in found if node.GetName() == "Brush region"]


def paint(region, box) -> None:
    scan = region.GetNodeReference(region.GetReferenceImageGeometryReferenceRole())
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(region, "Region", scan)
    mask[box] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, region, "Region", scan)


def test_it_works_inside_a_painted_region_only(host, widget, work, result):
    choose(host, work, CORE, "subtract", "brushed")
    apply(host, work, 40)
    assert "empty" in work.ui.workLabel.text and voxels(result, CORE) == 12

    work.ui.workBrushButton.click()
    host.process_events()
    (region,) = regions()
    editor = widget.editPanel.editor.widget
    assert editor.segmentationNode() is region and editor.currentSegmentID() == "Region"
    assert not region.GetSaveWithScene()
    paint(region, (slice(1, 2), slice(None), slice(None)))  # of two slices with the core
    widget.logic.notify()
    assert editor.segmentationNode() is region
    apply(host, work, 40)
    assert voxels(result, CORE) == 6
    assert not work.ui.workBrushButton.checked
    assert editor.segmentationNode() is not region or not editor.visible

    undo(host, widget)
    assert voxels(result, CORE) == 12


def test_a_painted_region_is_seen_while_it_counts_and_is_nobodys_result(
    host, scene, widget, work, result
):
    choose(host, work, CORE, "subtract", "brushed")
    work.ui.workBrushButton.click()
    host.process_events()
    (region,) = regions()
    offered = widget.followUpPanel.ui.earlierList
    assert "Brush region" not in [offered.item(n).text() for n in range(offered.count)]
    assert region.GetDisplayNode().GetVisibility()

    choose(host, work, CORE, "subtract", "everywhere")
    assert not work.ui.workBrushButton.visible and not work.ui.workBrushButton.checked
    assert not region.GetDisplayNode().GetVisibility()

    scene.Clear(False)
    host.process_events()
    assert not regions()
