"""Comparing studies by clicks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.lesions import volume_by_class
from FactorizerSegmentationLib.scene.changes import RESULT_ATTRIBUTE, changesOf
from FactorizerSegmentationLib.scene.tables import lesionsOf
from FactorizerSegmentationLib.scene.volumes import worldAffine
from module.panels.user import AFFINE, SHAPE, run, segmentations


@pytest.fixture
def qt(host):
    """Slicer's module of Qt's names, which the host makes."""
    import qt

    return qt


@pytest.fixture
def earlier(scene, host, add_volume):
    """Segmentations of two earlier studies, each with a scan of its own."""
    nodes = []
    for name in ("Newer", "Oldest"):
        volume = add_volume(f"{name} scan", SHAPE, AFFINE)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segment = node.GetSegmentation().AddEmptySegment("Label_4", "Enhancing tumour")
        mask = np.zeros(SHAPE[::-1], np.uint8)
        mask[2:4, 2:4, 2:4] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
        nodes.append(node)
    return nodes


@pytest.fixture
def result(host, panel, volumes, fake_python):
    """The segmentation of a run, which is the last study."""
    run(host, panel, fake_python("answer"))
    return panel._parameters.segment.segmentation


@pytest.fixture
def follow_up(widget, result, earlier, host):
    """The panel, unfolded."""
    section = widget.workbench.sections[-3].button
    section.collapsed = False
    widget.logic.notify()
    host.process_events()
    yield widget.followUpPanel
    section.collapsed = True


def listed(panel) -> list[str]:
    return [panel.ui.earlierList.item(row).text() for row in range(panel.ui.earlierList.count)]


def tick(qt, panel, name: str, wanted: bool = True) -> None:
    item = panel.ui.earlierList.item(listed(panel).index(name))
    item.setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)


def compare(host, panel) -> None:
    panel.ui.compareButton.click()
    assert host.wait_until(lambda: not panel.controls.running)


def test_other_segmentations_are_offered_and_one_has_to_be_ticked(qt, follow_up, result):
    assert listed(follow_up) == ["Newer", "Oldest"]
    assert not follow_up.ui.compareButton.enabled
    assert "Tick" in follow_up.ui.compareButton.toolTip
    tick(qt, follow_up, "Oldest")
    assert follow_up.ui.compareButton.enabled
    assert listed(follow_up) == ["Oldest", "Newer"]  # those that are ticked come first


def test_a_result_of_the_last_scan_itself_is_no_earlier_study(
    qt, host, widget, panel, follow_up, result, fake_python
):
    tick(qt, follow_up, "Newer")
    run(host, panel, fake_python("answer"))
    assert follow_up._last is not result and len(segmentations(slicer.mrmlScene)) == 4
    assert listed(follow_up) == ["Newer", "Oldest"]
    assert follow_up.ui.compareButton.enabled  # what was ticked stays
    widget.logic.getParameterNode().segment.segmentation = None
    widget.logic.notify()
    assert len(listed(follow_up)) == 4  # nothing is the last then


def test_a_result_on_another_scan_that_is_chosen_beside_the_last_is_no_earlier_study(
    widget, follow_up, earlier
):
    t1 = slicer.util.getNode("T1")  # as of a run without the first sequence
    earlier[0].SetReferenceImageGeometryParameterFromVolumeNode(t1)
    widget.logic.notify()
    assert listed(follow_up) == ["Oldest"]


def test_scans_of_one_dicom_study_are_one_study_whatever_their_dates(
    widget, follow_up, result, hierarchy, put_under
):
    def put(name: str, parent: int, uid: str, date: str) -> int:
        study = parent or hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), f"Study {uid}")
        hierarchy.SetItemAttribute(study, "DICOM.StudyInstanceUID", uid)
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", date)
        put_under(slicer.util.getNode(name), study)
        widget.logic.notify()
        return study

    last = put("FLAIR", 0, "1.2.3", "")
    put("Oldest scan", 0, "1.2.1", "")
    assert listed(follow_up) == ["Newer", "Oldest"]
    newer = put("Newer scan", 0, "1.2.3", "")
    assert listed(follow_up) == ["Oldest"]
    put("FLAIR", last, "1.2.3", "20260301")
    put("Newer scan", newer, "1.2.3", "20260101")  # anonymous identifiers can be alike
    assert listed(follow_up) == ["Newer", "Oldest"]
    put("Newer scan", last, "", "")  # one study of the subject hierarchy
    assert listed(follow_up) == ["Oldest"]


def test_two_results_of_one_earlier_scan_are_not_compared_as_two_studies(
    qt, widget, follow_up, earlier
):
    tick(qt, follow_up, "Newer")
    tick(qt, follow_up, "Oldest")
    assert follow_up.ui.compareButton.enabled
    earlier[0].SetReferenceImageGeometryParameterFromVolumeNode(slicer.util.getNode("Oldest scan"))
    widget.logic.notify()
    assert not follow_up.ui.compareButton.enabled
    assert "'Newer' and 'Oldest' are of one study" in follow_up.ui.compareButton.toolTip


def test_what_became_of_each_lesion_is_listed_and_shown(qt, host, follow_up, result):
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    assert follow_up.ui.changesBox.visible
    table = follow_up.ui.changesTable
    rows = [[table.item(r, c).text() for c in range(5)] for r in range(table.rowCount)]
    assert rows == [
        ["grown, right", "1.00", "2.00", "+1.00", "+100"],
        ["new", "0.00", "0.50", "+0.50", ""],
    ]
    assert "progressive disease" in follow_up.ui.responseLabel.text
    assert follow_up.ui.compareStatusLabel.text == "A doubt."

    table.setCurrentItem(table.item(1, 0))
    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    np.testing.assert_allclose(view.GetSliceToRAS().GetElement(2, 3), 6.0)
    (node,) = [n for n in slicer.util.getNodesByClass("vtkMRMLTableNode") if changesOf(n)]
    assert node.GetTable().GetNumberOfRows() == 2


def test_a_comparison_of_what_was_changed_since_says_so(qt, host, widget, follow_up, result):
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    own = widget.logic.getParameterNode()
    told = changesOf(own.followUp.changes)
    found = volume_by_class(lesionsOf(own.segment.lesionTable))
    last = replace(told.points[-1], volumes_ml=found)
    told = replace(told, points=(*told.points[:-1], last))
    own.followUp.changes.SetAttribute(RESULT_ATTRIBUTE, json.dumps(told.to_dict()))
    widget.logic.notify()
    assert "compare again" not in follow_up.ui.responseLabel.text

    widget.reviewPanel.lesions.select(1)
    widget.reviewPanel.ui.rejectButton.click()
    assert "compare again" in follow_up.ui.responseLabel.text
    widget.reviewPanel.ui.undoButton.click()
    assert "compare again" not in follow_up.ui.responseLabel.text


def test_earlier_scans_are_laid_onto_the_last_and_go_back(qt, host, follow_up, result, earlier):
    scan = slicer.util.getNode("Newer scan")
    before = worldAffine(scan)
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    transform = scan.GetParentTransformNode()
    assert transform is earlier[0].GetParentTransformNode() is not None
    np.testing.assert_allclose(worldAffine(scan)[0, 3], before[0, 3] + 10)
    assert slicer.util.getNode("FLAIR").GetParentTransformNode() is None

    compare(host, follow_up)  # once more does not add up
    np.testing.assert_allclose(worldAffine(scan)[0, 3], before[0, 3] + 10)
    follow_up.ui.laidOntoCheckBox.checked = False
    np.testing.assert_allclose(worldAffine(scan), before)
    follow_up.ui.laidOntoCheckBox.checked = True
    np.testing.assert_allclose(worldAffine(scan)[0, 3], before[0, 3] + 10)
    follow_up.ui.laidOntoCheckBox.checked = False
    compare(host, follow_up)
    np.testing.assert_allclose(worldAffine(scan), before)


def test_scans_with_a_transform_keep_it_below_the_new_one(
    qt, host, follow_up, result, earlier, add_transform
):
    own = add_transform([[1, 0, 0, 0], [0, 1, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]])
    scan = slicer.util.getNode("Newer scan")
    for node in (scan, earlier[0]):
        node.SetAndObserveTransformNodeID(own.GetID())
    before = worldAffine(scan)
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    assert scan.GetParentTransformNode() is own
    np.testing.assert_allclose(worldAffine(scan)[:2, 3], before[:2, 3] + [10, 0])
    follow_up.ui.laidOntoCheckBox.checked = False
    np.testing.assert_allclose(worldAffine(scan), before)

    for node in (slicer.util.getNode("FLAIR"), result):
        node.SetAndObserveTransformNodeID(own.GetID())
    follow_up.ui.laidOntoCheckBox.checked = True
    compare(host, follow_up)
    assert "share a transform" in follow_up.ui.compareStatusLabel.text
    np.testing.assert_allclose(worldAffine(scan), before)


def test_any_number_of_studies_is_compared_in_the_order_of_the_list(
    qt, host, follow_up, result, monkeypatch, tmp_path
):
    page = tmp_path / "page.html"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(page))
    tick(qt, follow_up, "Newer")
    tick(qt, follow_up, "Oldest")
    follow_up.ui.earlierList.setCurrentRow(1)
    follow_up.ui.earlierUpButton.click()
    assert listed(follow_up) == ["Oldest", "Newer"]
    follow_up.ui.pageCheckBox.checked = True
    compare(host, follow_up)
    follow_up.ui.pageCheckBox.checked = False
    asked = json.loads(page.read_text(encoding="utf-8"))
    told = [study["thresholds"] for study in asked["studies"]]
    assert told[0] == "" and told[-1] == "Enhancing from 50 %, Core from 50 %"
    names = [study["name"] for study in asked["studies"]]
    assert names == ["Oldest", "Newer", "FLAIR segmentation"]
    assert [study["scan"]["name"] for study in asked["studies"]] == [
        "Oldest scan",
        "Newer scan",
        "FLAIR",
    ]
    known = [study["segmentation"]["known"] for study in asked["studies"]]
    assert [[lesion["id"] for lesion in lesions] for lesions in known] == [[], [], [1, 2]]
    assert follow_up.ui.plotButton.enabled
    (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    series = chart.GetNthPlotSeriesNode(0)
    table = series.GetTableNode().GetTable()
    column = table.GetColumnByName(series.GetYColumnName())
    assert [column.GetValue(row) for row in range(3)] == [1.0, 2.0, 3.0]


def test_the_choice_and_the_outcome_are_kept_in_the_scene(qt, host, widget, follow_up, earlier):
    tick(qt, follow_up, "Oldest")
    compare(host, follow_up)
    parameters = widget.logic.getParameterNode()
    follow_up.setParameters(None)
    follow_up.setParameters(parameters)
    assert listed(follow_up)[0] == "Oldest"
    assert follow_up.ui.earlierList.item(0).checkState() == qt.Qt.Checked
    assert follow_up.ui.changesBox.visible
    slicer.mrmlScene.RemoveNode(earlier[1])
    host.process_events()
    assert listed(follow_up) == ["Newer"]
    assert not follow_up.ui.compareButton.enabled


def test_the_layout_is_the_users_again_after_the_plot(qt, host, widget, follow_up, monkeypatch):
    tick(qt, follow_up, "Oldest")
    compare(host, follow_up)
    shown = []
    logic = slicer.modules.plots.logic()

    class Plots:
        def ShowChartInLayout(self, chart) -> None:  # noqa: N802
            shown.append(chart)
            slicer.app.layoutManager().setLayout(6)

    monkeypatch.setattr(slicer.modules.plots, "logic", Plots)
    assert hasattr(logic, "ShowChartInLayout")
    before = slicer.app.layoutManager().layout
    follow_up.ui.plotButton.click()
    assert shown == slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert slicer.app.layoutManager().layout == 6
    widget.exit()
    assert slicer.app.layoutManager().layout == before
    widget.enter()


def test_studies_are_shown_side_by_side_and_all_is_put_back(
    qt, host, scene, widget, follow_up, earlier, result
):
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red").mrmlSliceCompositeNode()
    other = slicer.util.getNode("T2")
    red.SetBackgroundVolumeID(other.GetID())
    before = manager.layout
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    follow_up.ui.sideBySideButton.click()
    host.process_events()
    top = manager.sliceWidget("EarlierAxial")
    assert top.visible and manager.sliceWidget("Red").visible
    assert not manager.threeDWidget(0).visible
    assert top.mrmlSliceCompositeNode().GetBackgroundVolumeID() == (
        slicer.util.getNode("Newer scan").GetID()
    )
    assert red.GetBackgroundVolumeID() == slicer.util.getNode("FLAIR").GetID()
    assert red.GetLinkedControl() and top.mrmlSliceCompositeNode().GetLinkedControl()
    shown = [node.GetDisplayNode() for node in (earlier[0], result)]
    views = [[d.GetNthViewNodeID(i) for i in range(d.GetNumberOfViewNodeIDs())] for d in shown]
    assert top.mrmlSliceNode().GetID() in views[0] and len(views[0]) == 3
    assert manager.sliceWidget("Red").mrmlSliceNode().GetID() in views[1]
    assert not set(views[0]) & set(views[1])
    table = follow_up.ui.changesTable
    table.setCurrentItem(table.item(1, 0))
    for name in ("Red", "EarlierAxial"):
        matrix = manager.sliceWidget(name).mrmlSliceNode().GetSliceToRAS()
        np.testing.assert_allclose(matrix.GetElement(2, 3), 6.0)

    follow_up.ui.sideBySideButton.click()
    assert manager.layout == before and not top.visible
    assert red.GetBackgroundVolumeID() == other.GetID() and not red.GetLinkedControl()
    assert [display.GetNumberOfViewNodeIDs() for display in shown] == [0, 0]

    follow_up.ui.sideBySideButton.click()
    widget.exit()
    assert manager.layout == before and not follow_up.ui.sideBySideButton.checked
    widget.enter()
    follow_up.ui.sideBySideButton.click()
    scene.Clear(False)
    host.process_events()
    assert manager.layout == before and not follow_up.ui.sideBySideButton.checked


def test_segments_that_are_hidden_are_seen_side_by_side(qt, host, follow_up, earlier, result):
    earlier[0].SetDisplayVisibility(False)
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    follow_up.ui.sideBySideButton.click()
    host.process_events()
    assert earlier[0].GetDisplayVisibility()
    follow_up.ui.sideBySideButton.click()
    host.process_events()
    assert not earlier[0].GetDisplayVisibility() and result.GetDisplayVisibility()


def test_side_by_side_no_segments_of_a_third_study_lie_over_both(
    qt, host, follow_up, earlier, result
):
    newer, oldest = earlier
    tick(qt, follow_up, "Oldest")
    tick(qt, follow_up, "Newer")
    compare(host, follow_up)
    follow_up.ui.sideBySideButton.click()
    assert [node.GetDisplayVisibility() for node in (oldest, newer, result)] == [0, 1, 1]
    follow_up.ui.sideBySideButton.click()
    assert [node.GetDisplayVisibility() for node in (oldest, newer, result)] == [1, 1, 1]


def test_a_scene_that_is_closed_and_a_failure_are_survived(
    qt, host, scene, widget, follow_up, fake_python
):
    tick(qt, follow_up, "Newer")
    widget.segmentPanel.ui.pythonLineEdit.text = fake_python("refuse")
    compare(host, follow_up)
    assert follow_up.ui.compareStatusLabel.text == "FLAIR and T1 do not overlap."
    widget.segmentPanel.ui.pythonLineEdit.text = fake_python("obey")
    follow_up.ui.compareButton.click()
    assert host.wait_until(lambda: follow_up.ui.compareProgressBar.value > 0)
    scene.Clear(False)
    assert host.wait_until(lambda: not follow_up.controls.running)
    host.process_events()
    assert segmentations(scene) == []
    assert listed(follow_up) == []
