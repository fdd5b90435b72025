"""The demo from end to end: every file that it writes opens, and lies where the scan lies."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from demo.sample import REGION_LABELS, brain_tumour, dice_scores

TESTING = Path(__file__).resolve().parent
ORIENTATIONS = ("axial", "coronal", "sagittal")
COUNT = 3


def _run_python(*arguments: object) -> subprocess.CompletedProcess[str]:
    folders = [str(TESTING), str(TESTING.parent / "FactorizerSegmentation")]
    without_display = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "COLUMNS")}
    environment = {**without_display, "PYTHONPATH": os.pathsep.join(folders), "COLUMNS": "120"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a finished demo, and what it said on the terminal."""
    folder = tmp_path_factory.mktemp("demo")
    done = _run_python("-m", "demo", "--output", folder, "--device", "cpu", "--count", COUNT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def output(finished) -> Path:
    return finished[0]


@pytest.fixture(scope="module")
def reopened(output) -> dict:
    """What Slicer's core finds in the scene and in the segmentation file."""
    done = _run_python("-m", "demo.reopen", output)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def scan() -> nib.Nifti1Image:
    return nib.load(brain_tumour().channels["FLAIR"])


def test_the_tumour_is_found_on_the_scans_own_grid(output, scan):
    labelmap = nib.load(output / "segmentation.nii.gz")
    values = np.asanyarray(labelmap.dataobj)
    truth = np.asanyarray(nib.load(brain_tumour().label).dataobj)

    assert values.shape == scan.shape
    np.testing.assert_allclose(labelmap.affine, scan.affine)
    assert set(np.unique(values)) <= {0, 1, 2, 4}
    assert dice_scores(values, truth)["WT"] > 0.5


def test_the_heatmaps_are_nonnegative_not_empty_and_placed_as_the_scan(output, scan):
    paths = sorted(output.glob("heatmap-*.nii.gz"))

    assert len(paths) == COUNT
    for path in paths:
        heatmap = nib.load(path)
        values = np.asanyarray(heatmap.dataobj)
        np.testing.assert_allclose(heatmap.affine, scan.affine)
        assert values.shape == scan.shape
        assert np.isfinite(values).all() and values.min() >= 0 and values.max() > 0


def test_the_scene_opens_with_scans_segments_heatmaps_and_lesions(output, reopened, scan):
    heatmaps = {name: v for name, v in reopened["volumes"].items() if v["legend"]}
    windows = {(name.partition(",")[0], *v["window"]) for name, v in heatmaps.items()}
    lesions = list(csv.DictReader((output / "lesions.csv").open(encoding="utf-8-sig")))

    assert reopened["opened"]
    assert {"FLAIR", "T1", "T1ce", "T2"} <= set(reopened["volumes"])
    for volume in reopened["volumes"].values():
        assert tuple(volume["shape"]) == scan.shape
        np.testing.assert_allclose(volume["affine"], scan.affine, atol=1e-6)
    assert len(heatmaps) == COUNT
    assert len(windows) == len({block for block, *_ in windows}), "one window per block"
    assert all(v["maximum"] > 0 and v["colors"] != "Grey" for v in heatmaps.values())
    assert reopened["lesions"] == len(lesions) > 0


@pytest.mark.parametrize("source", ["segments", "scene_segments"])
def test_segments_have_codes_and_the_voxels_of_the_label_map(output, reopened, source):
    values = np.asanyarray(nib.load(output / "segmentation.nii.gz").dataobj)
    segments = reopened[source]

    assert {segment["value"] for segment in segments.values()} == {1, 2, 4}
    for segment in segments.values():
        assert segment["voxels"] == (values == segment["value"]).sum()
        assert len(segment["terminology"].split("~")) == 7
        assert re.search(r"(SCT|SRT|DCM)\^\w", segment["terminology"])


def test_lesions_add_up_to_the_label_map(output, scan):
    lesions = list(csv.DictReader((output / "lesions.csv").open(encoding="utf-8-sig")))
    values = np.asanyarray(nib.load(output / "segmentation.nii.gz").dataobj)
    voxel_ml = abs(np.linalg.det(scan.affine)) / 1000

    assert sum(float(lesion["volume_ml"]) for lesion in lesions) == pytest.approx(
        (values != 0).sum() * voxel_ml, abs=0.01
    )


def test_pictures_show_the_brain_the_segments_and_the_heatmap(output):
    for orientation in ORIENTATIONS:
        segmentation = _picture(output / "pictures" / f"segmentation-{orientation}.png")
        heatmap = _picture(output / "pictures" / f"heatmap-{orientation}.png")
        assert (segmentation.max(axis=2) > 30).mean() > 0.1
        assert _colored(segmentation) > 0.002
        assert (segmentation != heatmap).any(axis=2).mean() > 0.002
        assert heatmap.std() > 5


def test_heatmap_pictures_have_a_colour_legend_beside_the_head(output):
    for orientation in ORIENTATIONS:
        heatmap = _picture(output / "pictures" / f"heatmap-{orientation}.png")
        margin = heatmap[:, int(0.96 * heatmap.shape[1]) :]
        assert _colored(margin) > 0.05


def test_the_montage_shows_every_orientation_twice(output, tmp_path):
    done = _run_python("-m", "demo.montage", output, tmp_path / "montage.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "montage.png") as picture:
        tiles = np.asarray(picture.convert("L"), dtype=float)
    height, width = (side // count for side, count in zip(tiles.shape, (2, 3), strict=True))
    tiles = tiles.reshape(2, height, 3, width).transpose(0, 2, 1, 3).reshape(6, -1)
    assert tiles.std(axis=1).min() > 10
    assert np.unique(tiles, axis=0).shape == tiles.shape


def test_the_report_needs_no_other_file_and_shows_everything(output):
    page = (output / "report.html").read_text(encoding="utf-8")

    assert page.count('href="data:image/png;base64,') == 2 * len(ORIENTATIONS) + 2 + COUNT
    assert not re.search(r'(?:src|href)="(?!data:|https://doi\.org)', page)
    assert not re.search(r"<(?:script|link)\b", page)
    for text in (
        "not a medical device",
        "CC BY 3.0",
        "Dice",
        "glioma",
        "Without it",
        "lesions.csv",
    ):
        assert text in page


def test_the_terminal_tells_how_well_the_unseen_case_went(finished):
    output, said = finished
    truth = np.asanyarray(nib.load(brain_tumour().label).dataobj)
    scores = dice_scores(np.asanyarray(nib.load(output / "segmentation.nii.gz").dataobj), truth)

    for score in scores.values():
        assert f"{score:.3f}" in said


def test_an_output_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")

    done = _run_python("-m", "demo", "--output", file / "demo")

    assert done.returncode == 2
    assert "choose another one with --output" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr


def test_dice_is_one_for_equal_and_zero_for_disjoint_label_maps():
    truth = np.array([0, 1, 2, 4])

    assert dice_scores(truth, truth) == dict.fromkeys(REGION_LABELS, 1.0)
    assert dice_scores(np.array([2, 0, 0, 0]), truth) == {"WT": 0.0, "TC": 0.0, "ET": 0.0}


def _picture(path: Path) -> np.ndarray:
    """The picture's colours, shape (height, width, 3)."""
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def _colored(picture: np.ndarray) -> float:
    """Part of the pixels that are not grey."""
    return float((np.ptp(picture, axis=2) > 40).mean())
