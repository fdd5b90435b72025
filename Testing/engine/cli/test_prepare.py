"""Preparing raw scans on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine.dicom_writing import write_dicom
from factorizer_engine.images.files import read_scan
from factorizer_engine.preparation import brain


@pytest.fixture
def study(scans, tmp_path) -> Path:
    """A DICOM study: both sequences of the tiny model, in black, a second T1 and a localiser."""
    folder = tmp_path / "study"
    names = {1: "localizer", 2: "t2_tirm_dark-fluid", 3: "t1_se_tra", 4: "t1_se_tra"}
    for number, name in names.items():
        scan = read_scan(scans["FLAIR" if number < 3 else "T1"])
        scan.array[:5] = 0
        write_dicom(folder / str(number), scan, description=name, number=number)
    return folder


def test_a_dicom_study_is_prepared_and_everything_is_explained(cli, study, tmp_path):
    output = tmp_path / "out"
    outcome = cli("prepare", study, "--model", "tiny", "-o", output)
    assert outcome.code == 0, outcome.errors
    assert sorted(path.name for path in output.iterdir()) == [
        "FLAIR.nii.gz",
        "T1.nii.gz",
        "preparation.html",
        "preparation.json",
    ]
    assert "a localiser" in outcome.output and "taken later" in outcome.output
    record = json.loads((output / "preparation.json").read_text())
    assert record["reference"] == "FLAIR"
    assert {step["name"] for step in record["steps"]} == {"registration", "brain"}
    assert "SimpleITK" in record["versions"]


def test_a_sequence_that_is_missing_is_told(cli, scans, tmp_path):
    outcome = cli("prepare", scans["FLAIR"], "-m", "tiny", "-o", tmp_path / "out", "--brain", "off")
    assert outcome.code == 0, outcome.errors
    assert "No scan was given for T1, which the model expects." in outcome.output
    prepared = nib.load(tmp_path / "out" / "FLAIR.nii.gz")
    np.testing.assert_array_equal(prepared.get_fdata(), nib.load(scans["FLAIR"]).get_fdata())


def test_a_prepared_run_gives_its_result_on_the_reference(cli, study, tmp_path):
    output = tmp_path / "out"
    outcome = cli("segment", "--prepare", "-i", study, "-m", "tiny", "-o", output, "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    reference = read_scan(f"{study}::2")
    labelmap = nib.load(output / "segmentation.nii.gz")
    assert labelmap.shape == reference.shape
    np.testing.assert_allclose(labelmap.affine, reference.affine, atol=1e-4)
    assert (output / "preparation.json").is_file()


def test_a_run_that_lacks_a_sequence_is_refused_before_anything_is_prepared(cli, scans, tmp_path):
    given = ["-i", scans["FLAIR"]]
    outcome = cli("segment", "--prepare", *given, "-m", "tiny", "-o", tmp_path / "out")
    assert "nothing looks like T1" in outcome.sentence


def test_two_small_scans_are_registered_or_left_alone_but_never_fail(cli, scans, tmp_path):
    inputs = [f"{name}={path}" for name, path in scans.items()]
    outcome = cli("prepare", *inputs, "-m", "tiny", "-o", tmp_path / "out", "--brain", "off")
    assert outcome.code == 0, outcome.errors
    assert "registration" in outcome.output


@pytest.mark.skipif(brain.is_installed(), reason="the networks are installed")
def test_without_the_networks_it_says_how_to_get_them(cli, scans, tmp_path):
    outcome = cli("prepare", scans["FLAIR"], "-m", "tiny", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "pip install --no-deps deepbet" in outcome.sentence


def test_a_bias_field_is_corrected_only_in_a_preparation(cli, scans, tmp_path):
    inputs = [part for name, path in scans.items() for part in ("-i", f"{name}={path}")]
    outcome = cli("segment", *inputs, "-m", "tiny", "-o", tmp_path / "out", "--n4")
    assert outcome.sentence.startswith("--n4 is a part of the preparation")
