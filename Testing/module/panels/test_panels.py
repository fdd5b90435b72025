from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import slicer
import vtk

from FactorizerSegmentationLib.scene import segments, tables
from module.geometry import apply
from module.panels.user import (
    AFFINE,
    NAMES,
    SHAPE,
    run,
    segmentations,
)


def test_the_button_says_which_scans_are_missing(host, panel, add_volume):
    assert not panel.ui.applyButton.enabled
    assert all(name in panel.ui.applyButton.toolTip for name in NAMES)

    add_volume("FLAIR", SHAPE)
    host.process_events()

    assert "FLAIR" not in panel.ui.applyButton.toolTip
    assert "T1ce" in panel.ui.applyButton.toolTip


def test_scans_are_matched_by_name_and_make_the_button_ready(panel, volumes):
    assert panel.inputs.channels.volumes() == volumes
    assert panel.ui.applyButton.enabled


def test_one_volume_cannot_be_two_scans(host, panel, volumes):
    panel.inputs.channels.selector("T2").setCurrentNode(volumes["T1"])
    host.process_events()

    assert not panel.ui.applyButton.enabled
    assert "T1 and T2 are the same volume" in panel.ui.applyButton.toolTip


def test_the_row_of_a_deleted_scan_is_empty_and_takes_no_other_volume(
    host, scene, panel, volumes, add_volume
):
    add_volume("T2 of another study", SHAPE)
    add_volume("Anything", SHAPE)
    host.process_events()
    for name in ("T2", "FLAIR"):
        scene.RemoveNode(volumes[name])
        assert panel.inputs.channels.selector(name).currentNode() is None
    host.process_events()

    assert panel.inputs.channels.volumes() == {**volumes, "T2": None, "FLAIR": None}
    assert not panel.ui.applyButton.enabled
    assert "Choose the volume for FLAIR, T2" in panel.ui.applyButton.toolTip


def test_only_scans_are_offered(host, scene, panel, volumes, add_volume):
    for name, role in (("Component 1", "Heatmap"), ("Probability", "Anything")):
        add_volume(name, SHAPE).SetAttribute("FactorizerSegmentation.Role", role)
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "T2 label")
    host.process_events()

    for selector in map(panel.inputs.channels.selector, NAMES):
        assert {selector.nodeFromIndex(i) for i in range(selector.nodeCount())} == {
            *volumes.values()
        }


def test_a_result_is_not_taken_for_a_scan_even_if_it_was_chosen_before(
    host, panel, volumes, add_volume
):
    other = add_volume("Other", SHAPE)
    selector = panel.inputs.channels.selector("T2")
    selector.setCurrentNode(other)
    other.SetAttribute("FactorizerSegmentation.Role", "Heatmap")

    assert "'Other' is not a scan" in panel.inputs.channels.problem()
    assert panel.inputs.settings() is None

    add_volume("New", SHAPE)
    host.process_events()
    assert selector.currentNode() is None


def test_another_model_brings_its_own_scans_and_regions(host, widget, panel, add_model):
    add_model("stroke", ("DWI", "ADC"), ("Infarct",), 200.0)
    widget.enter()
    titles = [
        panel.inputs.ui.modelComboBox.itemText(i)
        for i in range(panel.inputs.ui.modelComboBox.count)
    ]

    panel.inputs.ui.modelComboBox.currentIndex = titles.index("Model stroke")
    host.process_events()

    assert list(panel.inputs.channels.volumes()) == ["DWI", "ADC"]
    assert "DWI, ADC" in panel.ui.applyButton.toolTip
    assert "about 3 min" in panel.ui.qualityComboBox.currentText
    assert "without checksums" in panel.inputs.ui.modelDescriptionLabel.text
    regions = widget.componentsPanel.ui.regionComboBox
    assert [regions.itemData(index) for index in range(regions.count)] == ["", "Infarct"]


def test_without_a_model_the_button_says_so(panel, widget, volumes, monkeypatch):
    monkeypatch.setattr(widget.logic, "models", lambda: [])

    widget.enter()

    assert not panel.ui.applyButton.enabled
    assert "No model is installed" in panel.ui.applyButton.toolTip


def test_a_run_gives_segments_and_lesions(host, scene, widget, panel, volumes, fake_python):
    run(host, panel, fake_python("answer"))

    (node,) = segmentations(scene)
    assert node.GetName() == "FLAIR segmentation"
    assert widget.reviewPanel.ui.lesionsTree.topLevelItemCount == 2
    assert "Enhancing 4.0 mL, Core 1.5 mL" in panel.ui.statusLabel.text
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, "Label_1", volumes["FLAIR"])
    assert mask.shape == SHAPE[::-1]
    assert mask[1:3, 2:4, 0:3].all()
    assert mask.sum() == 12


def test_the_slices_go_to_the_largest_lesion(host, scene, panel, volumes, fake_python):
    red = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    run(host, panel, fake_python("answer"))

    assert slice_height(red) == pytest.approx(apply(AFFINE, (4.5, 2.5, 1.0))[2])


def slice_height(node) -> float:
    return node.GetSliceToRAS().GetElement(2, 3)


def test_the_scan_is_shown_below_the_segments(host, panel, volumes, fake_python):
    run(host, panel, fake_python("answer"))

    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volumes["FLAIR"].GetID()


def backgrounds(scene) -> set[str | None]:
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
    return {node.GetBackgroundVolumeID() for node in nodes}


def test_what_the_views_showed_is_there_again_when_the_user_leaves(
    host, scene, widget, panel, volumes, add_volume, fake_python
):
    other = add_volume("CT of the knee", SHAPE, AFFINE)
    slicer.util.setSliceViewerLayers(background=other)
    layout = slicer.app.layoutManager().layout
    run(host, panel, fake_python("answer"))
    assert backgrounds(scene) == {volumes["FLAIR"].GetID()}

    widget.exit()
    assert backgrounds(scene) == {other.GetID()}
    assert slicer.app.layoutManager().layout == layout
    widget.enter()


def test_slices_go_back_when_the_user_leaves_unless_the_user_has_moved_them(
    host, widget, panel, volumes, fake_python
):
    red, yellow, green = slice_nodes = [
        slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
        for name in ("Red", "Yellow", "Green")
    ]
    for node in slice_nodes:
        node.SetSliceOffset(1.25)
    run(host, panel, fake_python("answer"))
    widget.reviewPanel.ui.lesionsTree.setCurrentItem(
        widget.reviewPanel.ui.lesionsTree.topLevelItem(1)
    )
    assert all(node.GetSliceOffset() != 1.25 for node in slice_nodes)
    yellow.SetSliceOffset(2.5)

    widget.exit()

    assert [node.GetSliceOffset() for node in (red, yellow, green)] == [1.25, 2.5, 1.25]
    widget.enter()


def test_what_the_user_has_chosen_to_see_since_stays(
    host, scene, widget, panel, volumes, add_volume, fake_python
):
    other = add_volume("CT of the knee", SHAPE, AFFINE)
    slicer.util.setSliceViewerLayers(background=other)
    run(host, panel, fake_python("answer"))
    slicer.util.setSliceViewerLayers(background=volumes["T2"])

    widget.exit()
    assert backgrounds(scene) == {volumes["T2"].GetID()}
    widget.enter()


def test_the_views_stay_where_they_are_while_the_user_is_in_another_module(
    host, widget, panel, volumes, fake_python
):
    slices = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    before = [node.GetSliceOffset() for node in slices]
    widget.exit()

    run(host, panel, fake_python("answer"))

    assert widget.reviewPanel.ui.lesionsTree.topLevelItemCount == 2
    assert [node.GetSliceOffset() for node in slices] == before


def test_a_second_result_is_seen_without_the_first(host, scene, panel, volumes, fake_python):
    run(host, panel, fake_python("answer"))
    run(host, panel, fake_python("answer"))
    assert [it.GetDisplayVisibility() for it in segmentations(scene)] == [0, 1]


def test_a_second_run_leaves_the_first_result_alone(host, scene, panel, volumes, fake_python):
    python = fake_python("answer")
    run(host, panel, python)
    (first,) = segmentations(scene)
    first.GetSegmentation().RemoveSegment("Label_4")
    run(host, panel, python)

    assert len(segmentations(scene)) == 2
    assert first.GetSegmentation().GetNumberOfSegments() == 1


def test_an_error_is_one_sentence_and_the_panel_is_ready_again(
    host, scene, panel, volumes, fake_python
):
    before = scene.GetNumberOfNodes()

    run(host, panel, fake_python("refuse"))

    assert panel.ui.statusLabel.text == "FLAIR and T1 do not overlap."
    assert panel.ui.applyButton.enabled
    assert scene.GetNumberOfNodes() == before


def test_a_crash_is_told_and_the_panel_is_ready_again(host, scene, panel, volumes, fake_python):
    run(host, panel, fake_python("crash"))

    assert "stopped unexpectedly" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled
    assert segmentations(scene) == []


def test_a_warped_scan_is_refused_before_anything_runs(host, scene, widget, volumes, fake_python):
    warp = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for corner in [(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)]:
        points.InsertNextPoint(corner)
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(points)
    warp.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    transform.SetAndObserveTransformToParent(warp)
    volumes["T2"].SetAndObserveTransformNodeID(transform.GetID())

    run(host, widget.segmentPanel, fake_python("answer"))

    assert "'T2' is warped" in widget.segmentPanel.ui.statusLabel.text
    assert not widget.logic.engine.running


@pytest.mark.parametrize("end", ["finished", "failed", "cancelled"])
def test_views_wait_until_a_result_is_complete_and_then_go_on(
    host, panel, volumes, fake_python, monkeypatch, end
):
    """Each drawing of all views costs more than making a node."""
    import qt

    pauses, during = [0], []
    app = slicer.qSlicerApplication
    monkeypatch.setattr(app, "pauseRender", lambda self: pauses.append(pauses[-1] + 1))
    monkeypatch.setattr(app, "resumeRender", lambda self: pauses.append(pauses[-1] - 1))
    create, fill = segments.createSegmentation, tables.createLesionTable

    def createSegmentation(*arguments):
        during.append(pauses[-1])
        if end == "cancelled":
            qt.QTimer.singleShot(0, panel.ui.applyButton.click)
        return create(*arguments)

    def createTable(*arguments):
        during.append(pauses[-1])
        if end == "failed":
            raise ValueError("no table")
        return fill(*arguments)

    monkeypatch.setattr(segments, "createSegmentation", createSegmentation)
    monkeypatch.setattr(tables, "createLesionTable", createTable)
    run(host, panel, fake_python("answer"))
    assert during == ([1] if end == "cancelled" else [1, 1])
    assert pauses[-1] == 0


def test_choices_are_kept_with_the_scene(host, widget, panel, volumes, fake_python):
    from FactorizerSegmentationLib.parameters import channelVolume

    panel.ui.qualityComboBox.currentIndex = panel.ui.qualityComboBox.findData("best")
    run(host, panel, fake_python("answer"))

    parameters = widget.logic.getParameterNode()
    assert parameters.inputs.quality == "best"
    assert channelVolume(parameters.inputs, "T2") is volumes["T2"]
    assert parameters.inputs.modelName == panel.inputs.model.name
    assert parameters.segment.segmentation.GetAttribute("FactorizerSegmentation.Model") == "fake 1"


def test_a_full_disk_is_told_before_anything_is_written(
    host, widget, panel, volumes, fake_python, monkeypatch
):
    full = SimpleNamespace(total=10**9, used=10**9, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)

    run(host, panel, fake_python("answer"))

    assert "too full for the scans" in panel.ui.statusLabel.text
    assert not widget.logic.engine.running


def test_runs_leave_no_files_behind(host, panel, volumes, fake_python):
    for behaviour in ("answer", "refuse", "crash"):
        run(host, panel, fake_python(behaviour))

    folder = Path(slicer.app.temporaryPath) / "FactorizerSegmentation"
    assert host.wait_until(lambda: not list(folder.iterdir()), 5)
