"""The page about a result, from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from engine.cli.test_export_dicom import edit_one_voxel
from factorizer_engine.images.files import write_seg_nrrd
from factorizer_engine.images.files.seg_reading import read_seg_nrrd


@pytest.fixture
def result(cli, scans, tmp_path) -> Path:
    """A folder that `segment` wrote."""
    named = [f"--input={name}={path}" for name, path in scans.items()]
    outcome = cli("segment", "--model", "tiny", *named, "-o", tmp_path / "result", "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    return tmp_path / "result"


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_result_becomes_a_page_and_a_table(cli, result):
    outcome = cli("report", result, "--words", "As <before>.", "--title", "Case 7")
    assert outcome.code == 0, outcome.errors
    page = page_of(result)
    for text in ("Case 7", "tiny 1.0.0", "As &lt;before&gt;.", "case_FLAIR", "20 × 18 × 16 voxels"):
        assert text in page
    assert "Changed since" not in page
    assert "<svg" in page
    with (result / "report.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    with (result / "lesions.csv").open(encoding="utf-8-sig") as file:
        computed = list(csv.DictReader(file))
    assert [row["volume_ml"] for row in rows] == [row["volume_ml"] for row in computed]

    assert "--overwrite" in cli("report", result).sentence
    assert cli("report", result, "--overwrite").code == 0
    assert "Case 7" not in page_of(result)


def test_what_looked_wrong_and_was_changed_by_hand_is_told(cli, result):
    record = json.loads((result / "run.json").read_text())
    assert record["remarks"] == []
    record["remarks"] = ["FLAIR looks like T1."]
    (result / "run.json").write_text(json.dumps(record))
    name = edit_one_voxel(result / "segmentation.seg.nrrd")
    assert cli("report", result).code == 0
    page = page_of(result)
    assert "FLAIR looks like T1." in page
    assert f"Changed since the model drew them: {name}" in page


def test_a_segmentation_without_a_known_scan_has_no_pictures(cli, result, tmp_path):
    alone = (result / "segmentation.seg.nrrd").rename(tmp_path / "alone.seg.nrrd")
    outcome = cli("report", alone, "-o", tmp_path / "alone.html")
    assert outcome.code == 0
    assert "no pictures" in outcome.errors
    page = (tmp_path / "alone.html").read_text(encoding="utf-8")
    assert "<svg" not in page and "tiny 1.0.0" in page


def test_who_drew_a_segmentation_is_not_guessed(cli, result, tmp_path):
    labelmap, labels = read_seg_nrrd(result / "segmentation.seg.nrrd")
    write_seg_nrrd(labelmap, labels, tmp_path / "other.seg.nrrd")
    assert cli("report", tmp_path / "other.seg.nrrd", "-o", tmp_path / "other.html").code == 0
    assert "of unknown origin" in (tmp_path / "other.html").read_text(encoding="utf-8")


def test_scans_that_were_moved_are_asked_for(cli, result, scans, tmp_path):
    moved = scans["T1"].rename(tmp_path / "elsewhere.nii.gz")
    sentence = cli("report", result).sentence
    assert "--input T1=FILE" in sentence
    assert cli("report", result, "--input", f"T1={moved}").code == 0
    assert "CHANNEL=FILE" in cli("report", result, "-i", "T1", "--overwrite").sentence


def test_components_are_told_if_they_are_of_the_same_model(cli, scans, result, tmp_path):
    named = [f"--input={name}={path}" for name, path in scans.items()]
    folder = tmp_path / "components"
    assert cli("components", "-m", "tiny", *named, "-o", folder, "-n", "2", "-d", "cpu").code == 0
    assert cli("report", result, "--components", folder).code == 0
    assert page_of(result).count('class="card component"') == 2
    assert "false alarm?" not in page_of(result)

    summary = json.loads((folder / "components.json").read_text())
    again = ("report", result, "--overwrite", "--components")
    assert all(lesion["likeness"] is None for lesion in summary["lesions"])
    summary["lesions"][0]["likeness"] = 0.2
    (folder / "components.json").write_text(json.dumps(summary))
    assert cli(*again, folder).code == 0
    assert page_of(result).count("false alarm?") == 1
    with (result / "report.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["false_alarm"] for row in rows] == ["perhaps", *[""] * (len(rows) - 1)]

    summary["model"]["version"] = "2"
    (folder / "components.json").write_text(json.dumps(summary))
    assert "did not make this result" in cli(*again, folder).sentence
    (folder / "components.json").write_text("{}")
    assert "damaged" in cli(*again, folder).sentence
    assert "no components.json" in cli(*again, tmp_path).sentence


def test_components_of_other_scans_are_doubted(cli, scans, result, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    moved = {name: shutil.copy(path, other) for name, path in scans.items()}
    named = [f"--input={name}={path}" for name, path in moved.items()]
    folder = tmp_path / "components"
    assert cli("components", "-m", "tiny", *named, "-o", folder, "-n", "1", "-d", "cpu").code == 0
    outcome = cli("report", result, "--components", folder)
    assert outcome.code == 0 and "computed on other files than the result" in outcome.errors
    assert "computed on other files than the result" in page_of(result)
