"""Studies that lack scans, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from factorizer_engine.cli.session import assign_inputs
from factorizer_engine.protocol.models import Channel


def test_a_scan_may_be_left_out_and_the_cost_is_said(cli, scans, frugal, tmp_path):
    given = ["--input", f"T1={scans['T1']}"]
    outcome = cli("segment", "--model", frugal, *given, "-o", tmp_path / "out", "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    assert "Left out: FLAIR. Mean Dice on 3 unseen cases: tumour core 0.80 (0.90" in outcome.output
    labelmap = nib.load(tmp_path / "out" / "segmentation.nii.gz")
    assert set(np.unique(np.asarray(labelmap.dataobj))) == {0, 1}


def test_a_folder_without_a_scan_is_enough(cli, scans, frugal, tmp_path):
    scans["FLAIR"].unlink()
    folder, out = scans["T1"].parent, tmp_path / "out"
    outcome = cli("components", "--model", frugal, "--input-dir", folder, "-o", out, "-n", 1)
    assert outcome.code == 0, outcome.errors
    found = json.loads((out / "components.json").read_text())
    assert list(found["components"][0]["contributions"]) == ["TC"]
    assert found["note"].startswith("Left out: FLAIR.")
    assert found["note"] in outcome.output


def test_scans_that_are_not_enough_are_refused_before_they_are_read(cli, frugal, tmp_path):
    (tmp_path / "flair.nii").write_bytes(b"no scan")
    given = ["--input", f"FLAIR={tmp_path / 'flair.nii'}"]
    outcome = cli("segment", "--model", frugal, *given, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.sentence == (
        "With FLAIR alone the model is not reliable (mean Dice on 3 unseen cases: tumour "
        "core 0.10, whole tumour 0.20); add T1."
    )


def test_a_model_says_what_it_may_lack(cli, frugal):
    outcome = cli("inspect", frugal)
    (line,) = [line for line in outcome.output.splitlines() if "May lack" in line]
    assert line.split("May lack")[1].strip(" │") == "FLAIR"


def test_unnamed_files_are_matched_to_some_of_the_channels():
    channels = (Channel("FLAIR"), Channel("T1"), Channel("T2"))
    assert assign_inputs(["a_t2.nii", "T1=b.nii"], channels, optional=True) == {
        "T1": Path("b.nii"),
        "T2": Path("a_t2.nii"),
    }
    assert assign_inputs([], channels, optional=True) == {}
