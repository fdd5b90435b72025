from __future__ import annotations

from pathlib import Path

import pytest
import slicer

from module.panels.user import current_widget

LEGEND_OF = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode


@pytest.fixture
def explained(host, widget, volumes, fake_python):
    """The components panel after a run with three components."""
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: is_complete(components))
    return components


def is_complete(components) -> bool:
    """Whether a run has ended and all maps of three components are in the scene."""
    arrived = [node.GetNumberOfDataNodes() for node in sequences(own=True)]
    return not components.controls.running and 2 * 3 in arrived


def composites() -> list:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def shown() -> str | None:
    """Name of the volume in the foreground, which all views share."""
    (nodeId,) = {node.GetForegroundVolumeID() for node in composites()}
    return slicer.mrmlScene.GetNodeByID(nodeId).GetName() if nodeId else None


def heatmap(number: int, kind: str = "evidence"):
    """The volume through which a heatmap is seen."""
    return slicer.util.getNode(f"Component {number} ({kind})")


def sequences(own: bool = False) -> list:
    """Those of explanations, or of their own voxels."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    return [node for node in nodes if node.GetName().endswith("(own voxels)") == own]


def test_the_components_are_listed_with_what_they_contribute(explained):
    table = explained.ui.componentsTable

    assert table.rowCount == 3
    assert [table.item(row, 0).text().partition("\n")[0] for row in range(3)] == [
        "Component 1",
        "Component 2",
        "Component 3",
    ]
    assert table.horizontalHeaderItem(1).text() == "ET"
    assert table.item(0, 1).text() == "+2.00"


def test_the_first_is_shown_over_the_scan_with_a_legend(explained):
    assert shown() == "Component 1 (evidence)"
    assert LEGEND_OF(heatmap(1)).GetVisibility()
    assert LEGEND_OF(heatmap(1)).GetTitleText() == "Logits per mL\nfor ET"
    assert explained.ui.hideHeatmapButton.enabled


def test_clicking_another_shows_it_instead(host, explained):
    table = explained.ui.componentsTable
    table.setCurrentItem(table.item(2, 0))
    host.process_events()

    assert shown() == "Component 3 (evidence)"
    assert LEGEND_OF(heatmap(3)).GetVisibility()
    assert slicer.util.arrayFromVolume(heatmap(3)).max() == pytest.approx(4 / 3 / 2, abs=0.01)


def test_the_activity_of_a_component_is_shown_on_request(host, widget, explained):
    explained.ui.mapComboBox.currentIndex = 1
    host.process_events()

    assert shown() == "Component 1 (activity)"
    assert LEGEND_OF(heatmap(1, "activity")).GetTitleText() == "Activity"
    assert widget.logic.getParameterNode().components.shownMap == "activity"

    explained.ui.mapComboBox.currentIndex = 0
    host.process_events()
    assert shown() == "Component 1 (evidence)"


def test_components_can_be_ranked_for_one_region(host, widget, explained):
    explained.ui.regionComboBox.currentIndex = 1

    assert widget.logic.getParameterNode().components.region == "ET"
    explained.ui.explainButton.click()
    assert host.wait_until(lambda: not explained.controls.running)
    assert explained.ui.explanationLabel.text == "Ranked for ET."


def test_the_sliders_change_what_is_drawn(explained):
    explained.ui.opacitySlider.value = 30
    explained.ui.shownPartSlider.value = 1
    before = heatmap(1).GetDisplayNode().GetLowerThreshold()
    explained.ui.shownPartSlider.value = 50

    assert {node.GetForegroundOpacity() for node in composites()} == {0.3}
    assert 0 < heatmap(1).GetDisplayNode().GetLowerThreshold() < before


def test_hiding_puts_the_views_back(host, explained):
    explained.ui.hideHeatmapButton.click()
    host.process_events()

    assert shown() is None
    assert not explained.ui.hideHeatmapButton.enabled
    assert not slicer.util.getNodes("Component*")
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")


def test_leaving_the_module_puts_the_views_back(host, explained):
    current_widget().exit()

    assert shown() is None


def test_a_deleted_heatmap_leaves_the_views_and_can_be_shown_again(host, scene, explained):
    scene.RemoveNode(heatmap(1))
    host.process_events()

    assert shown() is None
    table = explained.ui.componentsTable
    assert table.rowCount == 3
    table.setCurrentItem(table.item(1, 0))
    host.process_events()
    assert shown() == "Component 2 (evidence)"


def test_with_the_sequence_everything_goes(host, scene, explained):
    (node,) = sequences()
    scene.RemoveNode(node)
    host.process_events()

    assert shown() is None and not slicer.util.getNodes("Component*")
    assert not explained.ui.heatmapsBox.visible


def test_a_step_that_was_deleted_from_the_sequence_is_not_listed(host, widget, explained):
    (node,) = sequences()
    for name in ("Component 2 (evidence)", "Component 2 (activity)"):
        node.RemoveDataNodeAtValue(name)
    widget.enter()

    texts = [explained.ui.componentsTable.item(row, 0).text() for row in range(2)]
    assert [text.partition("\n")[0] for text in texts] == ["Component 1", "Component 3"]


def test_closing_the_scene_empties_the_list(host, scene, explained):
    scene.Clear(False)
    host.process_events()

    assert not explained.ui.heatmapsBox.visible
    assert not explained.ui.hideHeatmapButton.enabled


def test_closing_the_scene_during_another_explanation_empties_the_list(
    host, widget, scene, explained, fake_python
):
    start(widget, fake_python("hang"))
    assert host.wait_until(lambda: explained.ui.explainProgressBar.value > 0)
    scene.Clear(False)
    assert host.wait_until(lambda: not explained.controls.running)
    host.process_events()

    assert explained.steps == [] and not explained.ui.heatmapsBox.visible


def test_a_heatmap_is_not_taken_for_a_scan(host, widget, explained):
    heatmap(1).SetName("T2 again")
    widget.segmentPanel.inputs.channels.selector("T2").setCurrentNode(None)
    widget.segmentPanel.inputs.fillEmptyChannels()

    assert widget.segmentPanel.inputs.channels.volumes()["T2"].GetName() == "T2"


def test_the_selection_stays_when_other_volumes_come(host, explained, add_volume):
    add_volume("CT")
    host.process_events()

    (row,) = {item.row() for item in explained.ui.componentsTable.selectedItems()}
    assert row == 0


def test_a_heatmap_that_a_scene_brings_into_the_foreground_can_be_hidden(widget, explained):
    explained.overlay.forget()  # as in a window that did not show it
    widget.enter()

    assert explained.ui.hideHeatmapButton.enabled
    explained.ui.hideHeatmapButton.click()
    assert shown() is None
    assert not slicer.util.getNodes("Component*")


def test_heatmaps_are_steps_of_one_sequence_beside_the_scan(
    host, widget, volumes, hierarchy, put_under, fake_python
):
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    put_under(volumes["FLAIR"], patient)
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: is_complete(components))
    (node,) = sequences()

    assert node.GetName() == "FLAIR components"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == patient
    names = [node.GetNthIndexValue(n) for n in range(node.GetNumberOfDataNodes())]
    kinds = ("evidence", "activity")
    assert names == [f"Component {number} ({kind})" for kind in kinds for number in (1, 2, 3)]


def test_a_map_that_is_chosen_before_it_has_arrived_is_shown_when_it_has(
    host, widget, volumes, fake_python
):
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: not components.controls.running)
    assert not is_complete(components)
    components.ui.mapComboBox.currentIndex = 1
    assert shown() == "Component 1 (evidence)"

    assert host.wait_until(lambda: is_complete(components))
    assert host.wait_until(lambda: shown() == "Component 1 (activity)")


def test_an_explanation_that_is_deleted_before_all_maps_have_arrived_gets_no_more(
    host, widget, volumes, fake_python
):
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: not components.controls.running)
    runs = Path(slicer.app.temporaryPath) / "FactorizerSegmentation"
    assert list(runs.iterdir())
    slicer.mrmlScene.RemoveNode(sequences()[0])

    assert host.wait_until(lambda: not list(runs.iterdir()))
    assert sequences() == sequences(own=True) == []


def test_the_window_has_its_turn_between_two_heatmaps(host, scene, widget, volumes, fake_python):
    import qt

    turns: list[int] = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: turns.append(len(widget.logic.heatmaps())))
    timer.start(0)
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: not components.controls.running)
    timer.stop()

    assert set(turns) >= {0, 1, 2, 3}


def test_cancelling_between_two_heatmaps_takes_back_those_that_have_come(
    host, scene, widget, volumes, fake_python
):
    import qt

    before = scene.GetNumberOfNodes()
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: widget.logic.heatmaps() and widget.logic.cancel())
    timer.start(0)
    components = start(widget, fake_python("answer"))
    assert host.wait_until(lambda: not components.controls.running)
    timer.stop()

    assert components.ui.explainStatusLabel.text == "The run was cancelled."
    assert scene.GetNumberOfNodes() == before and not sequences()
    assert not widget.logic.busy


def start(widget, python: str):
    """Ask for three components, with another Python if one is given; gives the panel."""
    if python:
        widget.segmentPanel.ui.pythonLineEdit.text = python
    widget.componentsPanel.ui.componentCountSpinBox.value = 3
    widget.componentsPanel.ui.explainButton.click()
    return widget.componentsPanel


def test_a_scene_brings_back_the_heatmaps_and_what_is_shown(host, widget, explained, tmp_path):
    explained.ui.togetherComboBox.currentIndex = 3
    explained.ui.componentsTable.setCurrentItem(explained.ui.componentsTable.item(1, 0))
    host.process_events()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    host.process_events()
    assert not explained.ui.heatmapsBox.visible

    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.process_events(0.2)

    table = explained.ui.componentsTable
    assert table.rowCount == 3 and len(sequences()) == 1
    (row,) = {item.row() for item in table.selectedItems()}
    assert row == 1 and shown() == "Component 2 (evidence)"
    assert explained.ui.togetherComboBox.currentText == "Component 3"
    assert "Component 3" in explained.ui.secondLabel.text
    table.setCurrentItem(table.item(0, 0))
    host.process_events()
    assert shown() == "Component 1 (evidence)"
    assert slicer.util.arrayFromVolume(heatmap(1)).max() == pytest.approx(2, abs=0.01)


def test_a_scene_that_was_saved_meanwhile_gives_segments_their_fill_back(
    host, widget, explained, tmp_path
):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    table = explained.ui.componentsTable
    table.setCurrentItem(table.item(1, 0))
    host.process_events()
    assert not node.GetDisplayNode().GetVisibility2DFill()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.process_events(0.2)
    explained.ui.hideHeatmapButton.click()

    (display,) = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    assert display.GetVisibility2DFill()


def test_an_explanation_that_comes_while_another_module_is_shown_leaves_its_views_alone(
    host, widget, volumes, fake_python
):
    components = start(widget, fake_python("answer"))
    widget.exit()
    assert host.wait_until(lambda: not components.controls.running)
    assert shown() is None

    widget.enter()
    assert components.ui.componentsTable.rowCount == 3
    components.ui.componentsTable.setCurrentItem(components.ui.componentsTable.item(0, 0))
    assert shown() == "Component 1 (evidence)"


def test_an_old_scene_whose_heatmaps_are_volumes_opens(host, widget, explained, volumes, hierarchy):
    from FactorizerSegmentationLib.scene.explanations import stepsOf
    from FactorizerSegmentationLib.scene.heatmaps import describe

    (sequence,) = sequences()
    steps = stepsOf(sequence)
    flair = volumes["FLAIR"]
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Old components")
    for step in steps:  # as versions before sequences kept them
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", step.name)
        node.CopyOrientation(flair)
        slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(step.volumeNode))
        describe(node, step.heatmap)
        hierarchy.CreateItem(folder, node)
    explained.ui.hideHeatmapButton.click()
    slicer.mrmlScene.RemoveNode(sequence)
    host.process_events()
    widget.enter()
    host.process_events()

    (gathered,) = sequences()
    assert gathered.GetName() == "Old components"
    assert [step.name for step in stepsOf(gathered)] == [step.name for step in steps]
    assert not slicer.util.getNodes("Component*")
    assert hierarchy.GetItemByName("Old components") == hierarchy.GetItemByDataNode(gathered)
    assert explained.ui.componentsTable.rowCount == 3
    explained.ui.componentsTable.setCurrentItem(explained.ui.componentsTable.item(0, 0))
    host.process_events()
    assert shown() == "Component 1 (evidence)"
