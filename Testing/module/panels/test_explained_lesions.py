"""Explanations of lesions and results: which are offered, marked and told from others."""

from __future__ import annotations

from dataclasses import replace

import slicer

from FactorizerSegmentationLib.scene import tables
from module.panels.test_components_panel import composites, is_complete, sequences, shown, start
from module.panels.user import run


def test_lesions_for_which_other_components_speak_are_marked_in_the_review(
    host, widget, panel, volumes, fake_python
):
    run(host, panel, fake_python("answer"))
    tree = widget.reviewPanel.ui.lesionsTree
    widget.reviewPanel.lesions.select(2)
    titles = [tree.topLevelItem(row).text(0) for row in range(2)]
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    marked = [tree.topLevelItem(row).text(0) for row in range(2)]
    assert marked == [titles[0], f"{titles[1]} (false alarm?)"]
    assert "other components speak for it" in tree.topLevelItem(1).toolTip(0)
    assert widget.reviewPanel.lesions.current.id == 2


def test_the_lesion_that_is_selected_in_the_review_is_explained(host, widget, volumes, fake_python):
    run(host, widget.segmentPanel, fake_python("answer"))
    lesions = widget.componentsPanel.ui.lesionComboBox
    assert lesions.count == 3 and lesions.currentIndex == 0
    tree = widget.reviewPanel.ui.lesionsTree
    tree.setCurrentItem(tree.topLevelItem(1))
    host.process_events()
    assert lesions.currentIndex == 2 and lesions.currentText.startswith("Lesion 2: right")

    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    chosen = widget.logic.selectedLesion.centroid_ras
    assert components.ui.explanationLabel.text == f"Explained near {chosen}."

    lesions.currentIndex = 0
    host.process_events()
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    assert "near" not in components.ui.explanationLabel.text


def test_the_choice_of_lesions_follows_what_becomes_of_them(
    host, widget, panel, volumes, fake_python
):
    run(host, panel, fake_python("answer"))
    combo = widget.componentsPanel.ui.lesionComboBox
    tableNode = widget.logic.getParameterNode().segment.lesionTable
    lesions = tables.lesionsOf(tableNode)
    combo.currentIndex = 2
    smaller = replace(lesions[0], id=7, volume_ml=0.01)
    tables.updateLesions(tableNode, [*lesions, smaller])
    widget.logic.notify()
    assert combo.count == 4 and combo.currentIndex == 2

    widget.logic.selectedLesion = smaller
    widget.logic.notify()
    assert combo.currentText.startswith("Lesion 7") and combo.currentIndex == 3
    tables.updateLesions(tableNode, lesions[:1])
    widget.logic.notify()
    assert combo.count == 2 and combo.currentIndex == 0


def test_components_of_an_earlier_result_are_told_from_those_of_the_last(
    host, widget, panel, volumes, fake_python
):
    python = fake_python("answer")
    run(host, panel, python)
    widget.reviewPanel.lesions.select(1)
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    own = components.ui.explanationLabel.text

    run(host, panel, python)
    assert components.ui.lesionComboBox.currentIndex == 0
    assert "an earlier result" in components.ui.explanationLabel.text != own

    start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    assert "an earlier result" not in components.ui.explanationLabel.text

    result = widget.logic.getParameterNode().segment.segmentation
    result.SetAttribute("FactorizerSegmentation.Model", "other 1.0")
    components.ui.lesionComboBox.currentIndex = 0
    components.show()
    told = components.ui.explanationLabel.text
    assert told.startswith("The result is one of other 1.0; these components are those of fake")


def test_heatmaps_of_an_earlier_result_leave_the_views_when_another_one_comes(
    host, widget, panel, volumes, fake_python
):
    for composite in composites():
        composite.SetForegroundVolumeID(volumes["T1"].GetID())
        composite.SetForegroundOpacity(0.25)
    python = fake_python("answer")
    run(host, panel, python)
    components = start(widget, "")
    assert host.wait_until(lambda: is_complete(components))
    components.ui.togetherComboBox.currentIndex = 2
    assert shown() == "Component 1 (evidence)"
    assert {it.GetNthLayerVolumeID(3) for it in composites()} != {None}
    run(host, panel, python)

    assert shown() == "T1" and {it.GetForegroundOpacity() for it in composites()} == {0.25}
    assert {it.GetNthLayerVolumeID(3) for it in composites()} == {None}
    assert not slicer.util.getNodes("Component*")
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    assert len(displays) == 2 and all(it.GetVisibility2DFill() for it in displays)
    assert components.list.current is None and not components.ui.hideHeatmapButton.enabled
    assert len(components.steps) == 3  # listed as those of an earlier result, and not deleted
    components.list.select(components.steps[1].key)
    assert shown() == "Component 2 (evidence)"


def test_a_probability_map_of_an_earlier_result_leaves_the_views_when_another_one_comes(
    host, widget, panel, volumes, fake_python
):
    python = fake_python("plain")
    run(host, panel, python)
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    components.ui.probabilityButton.click()
    assert shown() == components.shownNode.GetName()

    run(host, panel, python)
    assert shown() is None and components.shownNode is None


def test_a_heatmap_that_came_before_any_result_stays_for_the_first_one(
    host, widget, panel, volumes, fake_python
):
    python = fake_python("answer")
    components = start(widget, python)
    assert host.wait_until(lambda: is_complete(components))
    run(host, panel, python)
    assert shown() == "Component 1 (evidence)"
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    assert len(displays) == 1 and not displays[0].GetVisibility2DFill()


def test_a_scene_that_is_opened_again_chooses_the_lesion_whose_components_it_shows(
    host, scene, widget, panel, volumes, fake_python, tmp_path
):
    run(host, panel, fake_python("answer"))
    widget.reviewPanel.lesions.select(1)
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    told, key = components.ui.explanationLabel.text, components.list.current
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    host.process_events()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.process_events(0.2)

    assert components.ui.lesionComboBox.currentText.startswith("Lesion 1")
    assert components.ui.explanationLabel.text == told
    assert components.list.current == components.overlay.step.key == key

    widget.exit()
    components.ui.lesionComboBox.currentIndex = 0
    widget.enter()
    assert components.ui.lesionComboBox.currentIndex == 0  # what the user has chosen stays


def test_a_scene_of_several_explanations_chooses_that_which_it_shows(
    host, scene, widget, panel, volumes, fake_python, tmp_path
):
    run(host, panel, fake_python("answer"))
    components = widget.componentsPanel
    for index in (1, 0):
        components.ui.lesionComboBox.currentIndex = index
        start(widget, "")
        assert host.wait_until(lambda: not widget.logic.busy)
    components.ui.lesionComboBox.currentIndex = 1
    host.process_events()
    key = components.list.current
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    host.process_events()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.process_events(0.2)

    assert components.ui.lesionComboBox.currentIndex == 1
    assert components.list.current == components.overlay.step.key == key


def test_what_is_explained_again_replaces_what_explained_it_before_and_can_be_taken_back(
    host, widget, panel, volumes, fake_python
):
    run(host, panel, fake_python("answer"))
    components, undo = widget.componentsPanel, widget.reviewPanel.ui.undoButton

    def explain(lesion: int) -> None:
        components.ui.lesionComboBox.currentIndex = lesion
        start(widget, "")
        assert host.wait_until(lambda: is_complete(components))
        host.process_events(0.2)

    explain(1)
    (first,) = sequences()
    explain(0)
    assert len(sequences()) == 2  # of another choice, and listed when that is made
    assert not undo.enabled
    explain(1)
    assert host.wait_until(lambda: len(sequences(own=True)) == 2)
    again = components.steps[0].sequenceNode
    assert len(sequences()) == len(sequences(own=True)) == 2 and first not in sequences()
    assert components.list.current == components.overlay.step.key == components.steps[0].key

    assert "components explained again" in undo.toolTip
    undo.click()
    host.process_events(0.2)
    assert {step.sequenceNode for step in components.steps} == {first}
    assert len(sequences()) == len(sequences(own=True)) == 2 and again not in sequences()
    components.list.select(components.steps[1].key)
    components.ui.smoothCheckBox.click()  # its own voxels are back, too
    assert components.shownNode.GetImageData().GetDimensions() == (4, 4, 3)
    components.ui.smoothCheckBox.click()
    widget.reviewPanel.ui.redoButton.click()
    host.process_events(0.2)
    assert {step.sequenceNode for step in components.steps} == {again}
    assert len(sequences()) == len(sequences(own=True)) == 2


def test_a_refusal_goes_with_the_choice_of_the_lesion(host, widget, panel, volumes, fake_python):
    run(host, panel, fake_python("answer"))
    widget.reviewPanel.lesions.select(1)
    components = start(widget, fake_python("refuse"))
    assert host.wait_until(lambda: not components.controls.running)
    assert components.controls.status
    widget.reviewPanel.lesions.select(2)
    host.process_events()
    assert components.controls.status == ""
