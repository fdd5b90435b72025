"""The module's buttons, with a small model of random weights."""

from __future__ import annotations

import os
import signal

import numpy as np
import qt
import slicer

from factorizer_engine.images.scan import Scan
from host.windows.clicking import place_of


def nodes(className: str) -> list:
    return list(slicer.util.getNodesByClass(className))


def run(host, module) -> str:
    """Click Segment and wait; returns what the panel then says."""
    ui = module.segmentPanel.ui
    assert ui.applyButton.enabled, ui.applyButton.toolTip
    ui.applyButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    return ui.statusLabel.text


def start(host, module) -> None:
    """Click Segment and wait until the engine works on the scans."""
    ui = module.segmentPanel.ui
    ui.applyButton.click()
    assert host.wait_until(lambda: ui.progressBar.maximum > 0 and ui.progressBar.value > 0, 120)


def test_without_scans_the_button_says_what_is_missing(host, module):
    ui = module.segmentPanel.ui

    assert not ui.applyButton.enabled
    assert "FLAIR" in ui.applyButton.toolTip


def test_scans_are_found_by_their_names(host, module, tiny_case):
    channels = module.segmentPanel.inputs.channels

    assert {name: node.GetName() for name, node in channels.volumes().items()} == {
        "FLAIR": "FLAIR",
        "T1": "T1",
    }
    assert module.segmentPanel.ui.applyButton.enabled


def test_segmenting_gives_a_visible_segmentation_on_the_scans_grid(host, module, tiny_case):
    said = run(host, module)

    (segmentation,) = nodes("vtkMRMLSegmentationNode")
    names = [segmentation.GetSegmentation().GetNthSegment(index).GetName() for index in range(3)]
    assert names == ["Core", "Oedema", "Enhancing"]
    assert segmentation.GetDisplayNode().GetVisibility()
    segment = segmentation.GetSegmentation().GetNthSegmentID(1)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, tiny_case["FLAIR"])
    assert mask.shape == slicer.util.arrayFromVolume(tiny_case["FLAIR"]).shape
    assert mask.any()
    assert "Oedema" in said and "mL" in said


def test_the_segments_open_in_3d_and_in_the_segment_editor(host, module, tiny_case):
    run(host, module)
    (segmentation,) = nodes("vtkMRMLSegmentationNode")
    segments = segmentation.GetSegmentation()

    assert segmentation.GetDisplayNode().GetVisibility3D()
    assert host.wait_until(lambda: segments.ContainsRepresentation("Closed surface"), 10)
    module.editPanel.ui.openEditorButton.click()
    host.process_events()

    assert slicer.util.selectedModule() == "SegmentEditor"
    assert slicer.modules.SegmentEditorWidget.editor.segmentationNode() is segmentation


def test_a_second_run_keeps_the_first_result(host, module, tiny_case):
    run(host, module)
    engine = module.logic.engine.processId
    run(host, module)

    first, second = nodes("vtkMRMLSegmentationNode")
    assert first.GetName() != second.GetName()
    assert module.logic.engine.processId == engine


def test_a_click_on_a_component_shows_its_heatmap_and_hiding_restores_the_views(
    host, module, tiny_case
):
    slicer.util.setSliceViewerLayers(background=tiny_case["T1"])
    panel = module.componentsPanel
    panel.ui.explainButton.click()
    assert host.wait_until(lambda: not module.logic.busy, 120)
    heatmaps = module.logic.heatmaps()
    assert len(heatmaps) >= 3

    panel.ui.componentsTable.selectRow(1)

    composites = nodes("vtkMRMLSliceCompositeNode")
    shown = {composite.GetForegroundVolumeID() for composite in composites}
    assert shown == {panel.overlay.nodeId}
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(
        slicer.mrmlScene.GetNodeByID(panel.overlay.nodeId)
    )
    assert legend.GetVisibility()

    panel.ui.hideHeatmapButton.click()

    assert {composite.GetForegroundVolumeID() for composite in composites} == {None}
    assert {composite.GetBackgroundVolumeID() for composite in composites} == {
        tiny_case["T1"].GetID()
    }
    assert not legend.GetVisibility()


def test_cancelling_leaves_the_scene_as_it_was(host, module, long_case):
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLStorableNode")
    start(host, module)
    ui = module.segmentPanel.ui
    assert ui.applyButton.text == "Cancel"

    ui.applyButton.click()

    assert host.wait_until(lambda: not module.logic.busy, 60)
    assert ui.statusLabel.text == "The run was cancelled."
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLStorableNode") == before
    assert nodes("vtkMRMLSegmentationNode") == []


def test_the_window_stays_alive_during_a_run(host, module, long_case):
    start(host, module)
    ticks = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start(20)

    host.process_events(1.0)
    timer.stop()

    assert module.logic.busy
    assert len(ticks) > 10


def test_an_engine_that_dies_is_reported_and_the_next_run_has_a_new_one(
    host, module, long_case, tiny, add_scan, choose_model
):
    start(host, module)
    os.kill(module.logic.engine.processId, signal.SIGKILL)

    assert host.wait_until(lambda: not module.logic.busy, 60)
    said = module.segmentPanel.ui.statusLabel.text
    assert said.startswith("The engine stopped unexpectedly") and said.endswith(".")
    assert nodes("vtkMRMLSegmentationNode") == []

    slicer.mrmlScene.Clear(False)
    choose_model("Tiny test model")
    for scan in tiny.scans().values():
        add_scan(scan)
    assert "mL" in run(host, module)


def test_closing_the_scene_ends_the_run(host, module, long_case):
    start(host, module)

    slicer.mrmlScene.Clear(False)

    assert host.wait_until(lambda: not module.logic.busy, 60)
    assert nodes("vtkMRMLSegmentationNode") == []


def test_scans_that_lie_apart_give_one_plain_sentence(host, module, tiny_case):
    away = np.eye(4)
    away[:3, 3] = 5000
    tiny_case["T1"].SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(away))

    said = run(host, module)

    assert said.count(".") == 1 and said.endswith(".")
    assert "T1" in said
    assert nodes("vtkMRMLSegmentationNode") == []


def test_a_scan_with_nan_gives_one_plain_sentence(host, module, tiny_case):
    voxels = slicer.util.arrayFromVolume(tiny_case["FLAIR"])
    voxels[3, 3, 3] = np.nan
    slicer.util.arrayFromVolumeModified(tiny_case["FLAIR"])

    said = run(host, module)

    assert "FLAIR" in said and said.endswith(".")
    assert nodes("vtkMRMLSegmentationNode") == []


def test_a_flat_scan_gives_one_plain_sentence(host, module, tiny, tiny_model, add_scan):
    scans = tiny.scans()
    add_scan(scans["FLAIR"])
    flat = scans["T1"].array[:, :, :1]
    add_scan(Scan.of(flat, scans["T1"].affine, "T1"))

    said = run(host, module)

    assert "T1" in said and said.endswith(".")


def test_a_click_during_a_run_is_not_answered_on_what_the_run_finds(host, module, tiny_case):
    run(host, module)
    panel, place = module.clicksPanel, place_of(tiny_case["FLAIR"], (10, 9, 11))
    panel.ui.clickAddButton.click()
    (marks,) = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    module.segmentPanel.ui.applyButton.click()
    assert module.logic.busy
    marks.AddControlPointWorld(list(place))
    assert host.wait_until(lambda: not module.logic.busy, 120)
    assert host.wait_until(lambda: "click again" in panel.ui.clicksStatusLabel.text, 20)
    assert marks.GetNumberOfControlPoints() == 0
    assert module.reviewPanel.ui.undoButton.enabled is False
