"""`factorizer refine`: clicks in a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


def inputs(scans: dict[str, Path]) -> list[str]:
    return [part for name, path in scans.items() for part in ("--input", f"{name}={path}")]


def labels(folder: Path) -> np.ndarray:
    return np.asarray(nib.load(folder / "segmentation.nii.gz").dataobj)


def place(scans, voxel) -> str:
    world = nib.affines.apply_affine(nib.load(scans["FLAIR"]).affine, voxel)
    return ",".join(f"{value:.2f}" for value in world)


def test_clicks_correct_what_the_model_finds(tmp_path, cli, scans):
    cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "found")
    found = labels(tmp_path / "found")
    outside, inside = np.argwhere(found == 0)[1000], np.argwhere(found == 4)[0]
    outcome = cli(
        "refine",
        "-m",
        "tiny",
        *inputs(scans),
        "-o",
        tmp_path / "corrected",
        "--add",
        f"wt={place(scans, outside)}",
        "--remove",
        f"ET={place(scans, inside)}",
    )
    assert outcome.code == 0, outcome.errors
    assert "2 clicks in" in outcome.output
    assert "has not learned from clicks" in " ".join(outcome.output.split())
    corrected = labels(tmp_path / "corrected")
    assert corrected[tuple(outside)] == 2 and corrected[tuple(inside)] == 1
    record = json.loads((tmp_path / "corrected" / "run.json").read_text())
    assert [click["region"] for click in record["clicks"]] == ["WT", "ET"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd"])
def test_any_segmentation_can_be_the_start(tmp_path, cli, scans, suffix):
    cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "found")
    found = labels(tmp_path / "found")
    start = tmp_path / "found" / f"segmentation{suffix}"
    voxel = np.argwhere(found > 0)[5]
    outcome = cli(
        "refine",
        "-m",
        "tiny",
        *inputs(scans),
        "-o",
        tmp_path / "out",
        "--start",
        start,
        "--remove",
        f"WT={place(scans, voxel)}",
    )
    assert outcome.code == 0, outcome.errors
    assert labels(tmp_path / "out")[tuple(voxel)] == 0


def test_a_start_on_another_grid_is_brought_onto_that_of_the_scan(tmp_path, cli, scans):
    image = nib.load(scans["FLAIR"])
    drawn = np.zeros(image.shape, np.uint8)
    drawn[2:8, 3:9, 2:7] = 2
    start = nib.Nifti1Image(drawn, image.affine)
    turned = np.flip(drawn, 0), image.affine @ np.diag([-1, 1, 1, 1])
    turned[1][:3, 3] = nib.affines.apply_affine(image.affine, (image.shape[0] - 1, 0, 0))
    click = f"ET={place(scans, (5, 5, 4))}"
    corrected = {}
    for name, file in (("same", start), ("other", nib.Nifti1Image(*turned).slicer[:, 1:])):
        nib.save(file, tmp_path / f"{name}.nii.gz")
        options = ("--start", tmp_path / f"{name}.nii.gz", "--add", click)
        told = cli("refine", "-m", "tiny", *inputs(scans), "-o", tmp_path / name, *options)
        assert told.code == 0, told.errors
        moved = "was brought onto the grid of the scan" in " ".join(told.output.split())
        assert moved == (name == "other")
        corrected[name] = labels(tmp_path / name)
    assert corrected["same"][2, 3, 2] == 2
    np.testing.assert_array_equal(corrected["same"], corrected["other"])


def test_a_mask_of_another_program_is_the_region_that_it_is_given_for(tmp_path, cli, scans):
    cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "found")
    path = tmp_path / "mask=1.nii.gz"
    found, image = labels(tmp_path / "found"), nib.load(scans["FLAIR"])
    nib.save(nib.Nifti1Image((found > 0).astype(np.uint8), image.affine), path)
    voxel = np.argwhere(found > 0)[5]
    told = {}
    for name, start in (("region", f"wt={path}"), ("labels", path)):
        remove = ("--remove", f"WT={place(scans, voxel)}")
        arguments = (*inputs(scans), "-o", tmp_path / name, "--start", start, *remove)
        outcome = cli("refine", "-m", "tiny", *arguments)
        assert outcome.code == 0, outcome.errors
        told[name] = " ".join(outcome.output.split())
    assert set(np.unique(labels(tmp_path / "region"))) == {0, 2}
    assert set(np.unique(labels(tmp_path / "labels"))) == {0, 1}
    assert "holds 1 alone, which is Core; if it outlines a region" in told["labels"]
    assert "alone" not in told["region"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Say by --add or --remove"),
        (("--add", "WT=1,2"), "'WT=1,2' is no place; write REGION=R,A,S"),
        (("--add", "WT=here"), "is no place"),
        (("--add", "1,2,3"), "has several regions; name one of ET, TC, WT"),
        (("--add", "XY=1,2,3"), "has no region 'XY'; name one of ET, TC, WT"),
        (("--add", "WT=900,2,3"), "lies outside the scan"),
        (("--add", "WT=1,2,3", "--remove", "WT=1,2,3"), "contradicts an earlier one"),
        (("--add", "WT=1,2,3", "--start", "nowhere.nii"), "nowhere.nii"),
        (("--add", "WT=1,2,3", "--start", "WT=nowhere.nii"), "nowhere.nii"),
    ],
)
def test_bad_clicks_are_refused_in_a_sentence(tmp_path, cli, scans, arguments, sentence):
    output = tmp_path / "out"
    outcome = cli("refine", "-m", "tiny", *inputs(scans), "-o", output, *arguments)
    assert outcome.code == 2
    assert sentence in outcome.sentence
    assert not output.exists() or not list(output.iterdir())
