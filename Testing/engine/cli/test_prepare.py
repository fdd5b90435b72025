"""Preparing raw scans on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from engine import tiny
from engine.dicom_writing import write_dicom
from factorizer_engine.cli import prepare
from factorizer_engine.images.files import read_scan
from factorizer_engine.preparation import brain
from factorizer_engine.protocol.models import Expectations
from factorizer_engine.protocol.tasks.prepare import PrepareResult
from factorizer_engine.protocol.volumes import ScanFile


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


@pytest.fixture(scope="session")
def stripped(tmp_path_factory) -> Path:
    """A model for brains without a skull."""
    expects = Expectations(skull="stripped")
    return tiny.bundle(tmp_path_factory.mktemp("stripped"), expects=expects).description.path


def test_a_dicom_study_is_prepared_and_everything_is_explained(cli, study, stripped, tmp_path):
    output = tmp_path / "out"
    outcome = cli("prepare", study, "--model", stripped, "-o", output)
    assert outcome.code == 0, outcome.errors
    assert sorted(path.name for path in output.iterdir()) == [
        "preparation.html",
        "preparation.json",
        "prepared_FLAIR.nii.gz",
        "prepared_T1.nii.gz",
        "run.json",
    ]
    assert "a localiser" in outcome.output and "taken later" in outcome.output
    record = json.loads((output / "preparation.json").read_text())
    assert record["reference"] == "FLAIR"
    assert {step["name"] for step in record["steps"]} == {"registration", "brain"}
    assert "SimpleITK" in record["versions"]


def test_names_that_the_terminal_cannot_show_stop_nothing(run_cli, scans, tmp_path):
    for number, name in enumerate(("FLAIR 横断 [/AX] :brain:", "T1 Schädel [b]"), start=1):
        scan = read_scan(list(scans.values())[number - 1])
        write_dicom(
            tmp_path / "study" / str(number),
            scan,
            description="",
            number=number,
            change=lambda data, name=name: named(data, name),
        )
    call = ["prepare", tmp_path / "study", "-m", "tiny", "--brain", "off", "-o", tmp_path / "out"]
    outcome = run_cli(*call, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert outcome.code == 0, outcome.errors
    assert r"FLAIR \u6a2a\u65ad [/AX] :brain:" in outcome.output
    assert r"T1 Sch\xe4del [b]" in outcome.output


def named(data, name: str) -> None:
    data.SpecificCharacterSet, data.SeriesDescription = "ISO_IR 192", name


def test_a_sequence_that_is_missing_is_told(cli, scans, tmp_path):
    outcome = cli("prepare", scans["FLAIR"], "-m", "tiny", "-o", tmp_path / "out", "--brain", "off")
    assert outcome.code == 0, outcome.errors
    assert "No scan was given for T1, which the model expects." in outcome.output
    prepared = nib.load(tmp_path / "out" / "prepared_FLAIR.nii.gz")
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
    assert cli("report", output).code == 0
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<h2>Prepared inputs</h2>" in page and "FLAIR and T1, axial" in page


def test_a_run_that_lacks_a_sequence_is_refused_before_anything_is_prepared(cli, scans, tmp_path):
    given = ["-i", scans["FLAIR"]]
    outcome = cli("segment", "--prepare", *given, "-m", "tiny", "-o", tmp_path / "out")
    assert "nothing looks like T1" in outcome.sentence


def test_two_small_scans_are_registered_or_left_alone_but_never_fail(cli, scans, tmp_path):
    inputs = [f"{name}={path}" for name, path in scans.items()]
    outcome = cli("prepare", *inputs, "-m", "tiny", "-o", tmp_path / "out", "--brain", "off")
    assert outcome.code == 0, outcome.errors
    assert "registration" in outcome.output


def test_what_was_found_is_kept_without_names_and_can_be_cleared(cli, scans, environment, tmp_path):
    inputs = [f"{name}={path}" for name, path in scans.items()]
    cli("prepare", *inputs, "-m", "tiny", "-o", tmp_path / "out", "--brain", "off")
    kept = Path(environment["FACTORIZER_CACHE"])
    for file in kept.iterdir():
        assert len(file.stem) == 64 and set(file.stem) <= set("0123456789abcdef")
    assert any(kept.iterdir())
    assert cli("cache", "--clear").output.startswith("0.0 MB")
    assert not list(kept.iterdir())


@pytest.mark.skipif(brain.is_installed(), reason="the networks are installed")
def test_without_the_networks_it_says_how_to_get_them(cli, scans, stripped, tmp_path):
    outcome = cli("prepare", scans["FLAIR"], "-m", stripped, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "pip install --no-deps deepbet" in outcome.sentence


@pytest.mark.parametrize("option", ["--n4", "--no-n4"])
def test_a_bias_field_is_corrected_only_in_a_preparation(cli, scans, tmp_path, option):
    inputs = [part for name, path in scans.items() for part in ("-i", f"{name}={path}")]
    outcome = cli("segment", *inputs, "-m", "tiny", "-o", tmp_path / "out", option)
    assert outcome.sentence.startswith("--n4 is a part of the preparation")


def test_scans_are_never_replaced_by_what_is_made_of_them(cli, scans, tmp_path):
    folder = scans["FLAIR"].parent
    before = {path: path.read_bytes() for path in folder.iterdir()}
    call = ["prepare", folder, "-m", "tiny", "-o", folder, "--brain", "off"]
    assert cli(*call).code == 0
    assert {path: path.read_bytes() for path in before} == before

    again = [f"{name}={folder / f'prepared_{name}.nii.gz'}" for name in scans]
    call = ["prepare", *again, "-m", "tiny", "-o", folder, "--brain", "off"]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "holds results of an earlier run" in cli(*call).sentence
    assert "would be replaced by what is made of it" in cli(*call, "--overwrite").sentence
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_scans_of_two_patients_are_a_question_also_when_they_are_prepared(cli, study, tmp_path):
    for file in (study / "3").iterdir():
        data = pydicom.dcmread(file)
        data.PatientID, data.PatientName = "another", "Another"
        data.save_as(file)
    for call in (["--input-dir", study], ["-i", study]):
        outcome = cli("segment", "--prepare", *call, "-m", "tiny", "-o", tmp_path / "out")
        assert outcome.code == 2
        assert "patients" in outcome.sentence
    assert not (tmp_path / "out").exists()


def test_a_ct_is_refused_before_it_is_prepared(cli, tmp_path, tmp_path_factory):
    expects = Expectations(modality="MR", anatomy="brain", skull="stripped")
    model = tiny.bundle(tmp_path_factory.mktemp("mr"), expects=expects).description.path
    head = np.full((48, 48, 48), -1000, np.float32)
    head[6:42, 6:42, 6:42] = 1000
    head[8:40, 8:40, 8:40] = 40
    head += ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 60, head.shape), 1)
    path = tmp_path / "FLAIR.nii.gz"
    nib.save(nib.Nifti1Image(head, np.diag([4, 4, 4, 1])), path)
    outcome = cli("prepare", path, "-m", model, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "FLAIR seems to be a CT, but the model reads MR" in outcome.sentence


def test_scans_far_apart_are_prepared_and_what_failed_is_marked(cli, scans, tmp_path):
    away = nib.load(scans["T1"])
    affine = away.affine.copy()
    affine[:3, 3] += 900
    path = tmp_path / "T1.nii.gz"
    nib.save(nib.Nifti1Image(away.get_fdata(), affine), path)
    call = ["prepare", scans["FLAIR"], f"T1={path}", "-m", "tiny", "--brain", "off"]
    outcome = cli(*call, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.errors
    assert "moved onto FLAIR" in outcome.output or "could not be registered" in outcome.output


def test_many_studies_are_not_prepared(cli, study, tmp_path):
    call = ["segment", "--prepare", "--studies", study, "-m", "tiny", "-o", tmp_path / "out"]
    assert "--prepare" in cli(*call).sentence


def test_of_a_head_that_is_upside_down_the_scans_are_written_turned_up(scans, tmp_path):
    scan = read_scan(scans["FLAIR"])
    file = ScanFile.save(scan.array, scan.affine, tmp_path / "scan.npy", "FLAIR")
    (tmp_path / "sheet.html").write_text("page")
    sheet = str(tmp_path / "sheet.html")
    result = PrepareResult({"FLAIR": file}, file, (), sheet, {}, {}, upside_down=True)
    prepare._write_scans(result, tmp_path)
    prepare.write_preparation(result, "FLAIR", tmp_path)
    written = read_scan(tmp_path / "prepared_FLAIR.nii.gz")
    brain = read_scan(tmp_path / "brain_mask.nii.gz")
    np.testing.assert_array_equal(written.array, scan.array)
    np.testing.assert_allclose(brain.affine, written.affine)
    assert written.orientation == scan.orientation.translate(str.maketrans("IS", "SI"))
    middles = [one.grid.corners().mean(axis=0) for one in (written, scan)]
    np.testing.assert_allclose(*middles, atol=1e-4)
    assert json.loads((tmp_path / "preparation.json").read_text())["upside_down"] is True
