"""Writing the report and DICOM objects by clicks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.scene.tables import lesionsOf
from module.panels.user import run, saved, segmentations


@pytest.fixture
def qt(host):
    """Slicer's module of Qt's names, which the host makes."""
    import qt

    return qt


@pytest.fixture
def result(host, panel, volumes, fake_python):
    """The segmentation of a run."""
    run(host, panel, fake_python("answer"))
    return panel._parameters.segment.segmentation


@pytest.fixture
def report(widget, qt, monkeypatch, tmp_path):
    """The panel; files that are asked for go into the test's folder."""
    page = tmp_path / "out" / "page.html"
    page.parent.mkdir()
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(page))
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *a: str(page.parent))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *arguments: True)
    section = widget.workbench.sections[-2].button
    section.collapsed = False
    yield widget.reportPanel
    section.collapsed = True


def write(host, report) -> dict:
    """Click Write report, and give what the engine was asked."""
    report.ui.reportButton.click()
    assert host.wait_until(lambda: not report.controls.running)
    return json.loads(report._page.read_text(encoding="utf-8"))


def test_a_report_tells_of_the_segments_as_they_are_now(host, widget, report, result):
    report.ui.wordsTextEdit.plainText = "A mass."
    asked = write(host, report)
    assert asked["words"] == "A mass."
    assert asked["title"] == result.GetName() == "FLAIR segmentation"
    assert list(asked["scans"]) == ["FLAIR", "T1", "T1ce", "T2"]
    assert asked["segmentation"]["model"] == "fake" and asked["segmentation"]["edited"] == []
    assert [label["value"] for label in asked["segmentation"]["labels"]] == [1, 4]
    assert "page.html" in report.ui.reportStatusLabel.text
    assert report.ui.openReportButton.visible

    (table,) = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLTableNode")
        if "reported" in node.GetName()
    ]
    assert len(lesionsOf(table)) == 1
    known = [lesion["mean_probability"] for lesion in asked["segmentation"]["known"]]
    assert known == [0.8, 0.8]

    segmentId = result.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, segmentId).copy()
    mask[tuple(np.argwhere(mask)[0])] = 0
    reference = slicer.util.getNode("FLAIR")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result, segmentId, reference)
    assert asked["segmentation"]["by_hand"] is None
    asked = write(host, report)["segmentation"]
    assert asked["edited"] == [result.GetSegmentation().GetSegment(segmentId).GetName()]
    assert asked["by_hand"] is not None


def test_a_report_names_the_model_that_made_the_result(host, widget, report, result):
    made = write(host, report)["facts"]["How it was made"]["Model"]
    chosen = widget.inputsPanel.model
    assert made == f"{chosen.title} {chosen.version}"
    result.SetAttribute("FactorizerSegmentation.Model", "another 3.0.0")
    assert write(host, report)["facts"]["How it was made"]["Model"] == "another 3.0.0"


def test_nobody_knows_who_drew_what_no_model_has_signed(host, report, result):
    segmentation = result.GetSegmentation()
    result.RemoveAttribute("FactorizerSegmentation.Model")
    for segmentId in segmentation.GetSegmentIDs():
        segmentation.GetSegment(segmentId).RemoveTag("Factorizer.Model")
    assert write(host, report)["made"].startswith("drawn by hand or by another program")


def test_thresholds_change_segments_but_not_by_hand_and_are_told(host, widget, report, result):
    told = write(host, report)["facts"]["How it was made"]["Thresholds"]
    assert told == "Enhancing from 50 %, Core from 50 %"
    widget.adjustPanel.ui.adjustRegionComboBox.currentIndex = 1
    widget.adjustPanel.ui.thresholdSlider.value = 90
    widget.adjustPanel.ui.smallestSlider.value = 0.05
    asked = write(host, report)
    assert asked["segmentation"]["edited"] and asked["segmentation"]["by_hand"] is None
    told = asked["facts"]["How it was made"]["Thresholds"]
    assert told == "Enhancing from 50 %, Core from 90 %, lesions from 0.050 mL"


def test_what_the_user_has_said_of_lesions_is_told(host, widget, report, result):
    lesions = widget.reviewPanel.ui.lesionsTree
    lesions.setCurrentItem(lesions.topLevelItem(0))
    widget.reviewPanel.ui.acceptButton.click()
    assert write(host, report)["facts"]["Review"] == {
        "Accepted lesions": "1",
        "Rejected lesions, not in the segments": "",
        "Lesions not looked at": "2",
    }


def test_lesions_are_told_by_their_numbers_in_the_list(host, widget, report, result):
    lesions = widget.reviewPanel.ui.lesionsTree
    lesions.setCurrentItem(lesions.topLevelItem(0))
    widget.reviewPanel.ui.rejectButton.click()
    asked = write(host, report)["segmentation"]
    assert [lesion["id"] for lesion in asked["known"]] == [2]
    assert asked["gone"] == [1]


def test_components_are_told_if_there_are_any_and_they_are_wanted(host, widget, report, result):
    assert not report.ui.explainedCheckBox.enabled
    assert write(host, report)["components"] == []
    widget.componentsPanel.ui.explainButton.click()
    assert host.wait_until(lambda: not widget.componentsPanel.controls.running)
    assert report.ui.explainedCheckBox.enabled
    asked = write(host, report)
    assert len(asked["components"]) == len(asked["evidence"]) == 6
    assert [region["name"] for region in asked["regions"]] == ["ET", "TC"]  # not of who is chosen
    report.ui.explainedCheckBox.checked = False
    assert write(host, report)["components"] == []


def test_scans_of_something_else_are_no_part_of_the_report(
    host, widget, report, result, monkeypatch
):
    monkeypatch.setattr(widget.inputsPanel.checks, "doubts", lambda: ("Odd.",))
    assert write(host, report)["warnings"] == ["Odd."]
    other = slicer.util.getNode("T1")
    widget.inputsPanel.channels.selector("FLAIR").setCurrentNode(other)
    host.process_events()
    asked = write(host, report)
    assert list(asked["scans"]) == ["FLAIR"] and asked["warnings"] == []


def test_nothing_can_be_written_before_there_is_a_result(report, host, panel, volumes, fake_python):
    assert not report.ui.reportButton.enabled
    assert "Segment" in report.ui.reportButton.toolTip
    run(host, panel, fake_python("answer"))
    assert report.ui.reportButton.enabled
    assert not report.ui.exportButton.enabled
    assert "DICOM series" in report.ui.exportButton.toolTip
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("FLAIR"))
    host.process_events()
    assert not report.ui.reportButton.enabled


def test_the_result_is_exported_to_a_folder(host, report, result, tmp_path):
    series = tmp_path / "series"
    report.ui.seriesFolderLineEdit.text = str(series)
    report.ui.exportButton.click()
    assert host.wait_until(lambda: not report.exportControls.running)
    assert "segmentation.dcm, report.dcm are in" in report.ui.exportStatusLabel.text
    written = (tmp_path / "out" / "segmentation.dcm").read_text()
    assert written == f"{series} fake"


def test_objects_of_another_study_are_not_replaced_unasked(
    host, report, result, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a: asked.append(a[0]))
    report.ui.seriesFolderLineEdit.text = "/data"
    there = tmp_path / "out" / "segmentation.dcm"
    there.write_text("another", encoding="utf-8")
    export(host, report)
    assert asked == ["Already there: segmentation.dcm. Replace?"]
    assert there.read_text(encoding="utf-8") == "another"


class Database:
    """Stands for ctkDICOMDatabase, which the host lacks: one series in one folder."""

    isOpen = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fileForInstance(self, uid: str) -> str:
        return str(self.folder / f"{uid}.dcm") if uid == "1.2.3" else ""

    def instanceValue(self, uid: str, tag: str) -> str:
        return ""


@pytest.fixture
def database(monkeypatch, tmp_path):
    """Slicer's DICOM database; `taken` holds the names of the files that were put into it."""
    found = Database(tmp_path / "database")
    found.taken, found.works = [], True

    def importDicom(folder, database, copies):
        assert database is found and copies
        found.taken += sorted(path.name for path in Path(folder).iterdir())
        return found.works

    utils = SimpleNamespace(importDicom=importDicom)
    monkeypatch.setitem(sys.modules, "DICOMLib", SimpleNamespace(DICOMUtils=utils))
    monkeypatch.setattr(slicer, "dicomDatabase", found, raising=False)
    return found


def export(host, report) -> str:
    """Click Export, and give what is said then."""
    report.ui.exportButton.click()
    assert host.wait_until(lambda: not report.exportControls.running)
    return report.ui.exportStatusLabel.text


def test_the_database_knows_the_series_and_takes_what_is_exported(
    host, report, result, database, tmp_path
):
    slicer.util.getNode("FLAIR").SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    report.update()
    assert report.ui.seriesFolderLineEdit.placeholderText == str(tmp_path / "database")
    assert "and in the DICOM database" in export(host, report)
    assert database.taken == ["report.dcm", "segmentation.dcm"]
    written = (tmp_path / "out" / "segmentation.dcm").read_text()
    assert written == f"{tmp_path / 'database'} fake"

    database.works = False
    assert "has not taken them" in export(host, report)


def test_components_of_each_lesion_are_told_once_and_those_of_earlier_results_not(
    host, widget, panel, report, result
):
    def explain() -> None:
        widget.componentsPanel.ui.explainButton.click()
        assert host.wait_until(lambda: not widget.componentsPanel.controls.running)

    widget.componentsPanel.ui.componentCountSpinBox.value = 2
    explain()
    explain()
    widget.reviewPanel.lesions.select(2)
    host.process_events()
    explain()

    names = [it["name"] for it in write(host, report)["components"]]
    assert names == [f"Component {n}{end}" for end in ("", " (for lesion 2)") for n in (1, 2)]

    panel.ui.applyButton.click()
    assert host.wait_until(lambda: not panel.controls.running)
    assert not report.ui.explainedCheckBox.enabled
    assert write(host, report)["components"] == []


def test_components_become_parametric_maps_where_it_is_wanted(
    host, widget, report, result, database, tmp_path, add_volume
):
    from FactorizerSegmentationLib.scene.explanations import addStep, createExplanation
    from FactorizerSegmentationLib.scene.volumes import Place

    report.ui.seriesFolderLineEdit.text = str(tmp_path / "series")
    assert not report.ui.parametricMapsCheckBox.enabled
    widget.componentsPanel.ui.componentCountSpinBox.value = 2
    widget.componentsPanel.ui.explainButton.click()
    assert host.wait_until(lambda: not widget.componentsPanel.controls.running)
    first = widget.logic.heatmaps()[0]
    other = add_volume("Other", (3, 3, 3))
    foreign = createExplanation(other.GetScene(), "Of another scan", Place(np.eye(4)))
    addStep(foreign, first.heatmap, other.GetImageData(), np.eye(4))
    widget.logic.notify()

    assert "parametric" not in export(host, report)
    report.ui.parametricMapsCheckBox.click()
    assert "report.dcm and 4 parametric maps are in" in export(host, report)
    assert "activity_1.dcm" in database.taken and "evidence_2.dcm" in database.taken
    written = (tmp_path / "out" / "activity_2.dcm").read_text()
    assert written == "Component 2 (0.0, 4.0) 2.0"


@pytest.mark.parametrize("library", [None, SimpleNamespace(), SimpleNamespace(DICOMUtils=None)])
def test_a_slicer_whose_dicom_module_is_another_keeps_the_files(
    host, report, result, database, tmp_path, monkeypatch, library
):
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    report.ui.seriesFolderLineEdit.text = str(tmp_path / "series")

    assert "has not taken them" in export(host, report)
    assert (tmp_path / "out" / "segmentation.dcm").exists()


def test_the_database_gets_only_what_it_is_wanted_to_get(host, report, result, database, tmp_path):
    report.ui.seriesFolderLineEdit.text = str(tmp_path / "series")
    report.ui.intoDatabaseCheckBox.click()
    assert "database" not in export(host, report)
    assert database.taken == []

    report.ui.intoDatabaseCheckBox.click()
    database.isOpen = False
    report.update()
    assert not report.ui.intoDatabaseCheckBox.enabled
    assert "No DICOM database" in report.ui.intoDatabaseCheckBox.toolTip
    assert "database" not in export(host, report)


def test_a_dialog_that_is_cancelled_changes_nothing(qt, host, report, result, monkeypatch):
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: "")
    report.ui.reportButton.click()
    assert not report.controls.running
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: "")
    report.ui.seriesFolderLineEdit.text = "/data"
    report.ui.exportButton.click()
    assert not report.exportControls.running


def test_a_failure_is_one_sentence_and_a_run_can_be_cancelled(
    host, widget, report, result, fake_python
):
    python = widget.segmentPanel.ui.pythonLineEdit
    python.text = fake_python("refuse")
    report.ui.reportButton.click()
    assert host.wait_until(lambda: not report.controls.running)
    assert report.ui.reportStatusLabel.text == "FLAIR and T1 do not overlap."

    python.text = fake_python("obey")
    report.ui.reportButton.click()
    assert host.wait_until(lambda: report.ui.reportProgressBar.value > 0)
    assert report.ui.reportButton.text == "Cancel"
    assert not report.ui.exportButton.enabled
    report.ui.reportButton.click()
    assert host.wait_until(lambda: not report.controls.running)
    assert "cancelled" in report.ui.reportStatusLabel.text


def test_the_words_are_kept_in_the_scene(host, scene, widget, report):
    report.ui.wordsTextEdit.plainText = "A mass on the left."
    assert widget.logic.getParameterNode().report.words == "A mass on the left."
    scene.Clear(False)
    host.process_events()
    assert widget.reportPanel.ui.wordsTextEdit.plainText == ""
    widget.logic.getParameterNode().report.words = "From a file."
    widget.enter()
    assert widget.reportPanel.ui.wordsTextEdit.plainText == "From a file."


def test_segments_that_overlap_are_refused(host, report, result, tmp_path):
    reference = slicer.util.getNode("FLAIR")
    segmentation = result.GetSegmentation()
    first = segmentation.GetNthSegmentID(0)
    own = segmentation.AddEmptySegment("", "Mine")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, first, reference)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result, own, reference)
    report.ui.reportButton.click()
    name = segmentation.GetSegment(first).GetName()
    sentence = f"'{name}' and 'Mine' overlap"
    assert host.wait_until(lambda: sentence in report.ui.reportStatusLabel.text, 10)

    slicer.util.updateSegmentBinaryLabelmapFromArray(0 * mask, result, own, reference)
    file = saved(result, Path(tmp_path) / "a.npy")
    assert [(label.name, label.value) for label in file.labels][-1] == ("Mine", 2)
    assert (file.added, file.edited) == (("Mine",), ()), "of no model"
    assert segmentations(slicer.mrmlScene) == [result]
