"""Naming one of the series of a DICOM folder on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from factorizer_engine.cli.session import assign_inputs
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.models import Channel

CHANNELS = (Channel("FLAIR"), Channel("T1", ("t1w",)), Channel("T1ce"))


@pytest.fixture
def study(scans, tmp_path) -> Path:
    """A folder with one series for each channel of the tiny model."""
    folder = tmp_path / "study"
    for number, (name, path) in enumerate(scans.items(), start=1):
        save_series(read_scan(path), folder, f"AX {name}", number)
    return folder


def test_series_of_one_folder_are_segmented(cli, study, tmp_path):
    named = ["--input", f"FLAIR={study}::AX FLAIR", "--input", f"{study}::T1=2"]
    outcome = cli("segment", "--model", "tiny", *named, "-o", tmp_path / "out", "-d", "cpu")
    assert "no series called T1=2" in outcome.sentence
    named[-1] = f"T1={study}::2"
    outcome = cli("segment", "--model", "tiny", *named, "-o", tmp_path / "out", "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    assert (tmp_path / "out" / "segmentation.nii.gz").is_file()


def test_series_are_inspected_and_listed(cli, study):
    assert "20 x 18 x 16" in cli("inspect", f"{study}::AX T1").output
    listed = cli("inspect", study)
    assert listed.code == 0
    for name, number in (("AX FLAIR", 1), ("AX T1", 2)):
        assert re.search(rf"{name} +\W {number} +\W MR +\W +16", listed.output)
    assert "Scan" not in listed.output
    assert "no series called T2" in cli("inspect", f"{study}::T2").sentence
    assert "does not exist" in cli("inspect", f"{study}x::T2").sentence


@pytest.mark.parametrize("command", ["segment", "components", "inspect"])
def test_the_help_says_how_to_name_a_series(cli, command):
    assert "FOLDER::SERIES" in cli(command, "--help").output


def test_a_series_of_a_folder_is_assigned_as_it_is_named(tmp_path):
    given = ["FLAIR=C:\\study::AX FLAIR b=1000", "study::T1", f"{tmp_path}::T1ce"]
    assert assign_inputs(given, CHANNELS) == {
        "FLAIR": "C:\\study::AX FLAIR b=1000",
        "T1": "study::T1",
        "T1ce": f"{tmp_path}::T1ce",
    }
    marked = tmp_path / "a::FLAIR.nii"
    marked.touch()
    assert assign_inputs([str(marked)], CHANNELS[:1]) == {"FLAIR": marked}


def test_the_series_of_a_folder_are_matched_by_their_descriptions(cli, study, tmp_path):
    outcome = cli("segment", "-m", "tiny", "--input-dir", study, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.errors
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["channels"]["T1"]["source"] == f"{study}::AX T1"
    assert "AX FLAIR" in outcome.output


def test_series_that_cannot_be_told_apart_are_offered_by_name(cli, study, scans, tmp_path):
    save_series(read_scan(scans["T1"]), study, "AX T1 MPR", 9)
    outcome = cli("segment", "-m", "tiny", "--input-dir", study, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "T1 could be study::AX T1 or study::AX T1 MPR" in outcome.sentence


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("PatientID", "different patients"),
        ("StudyDate", "different dates"),
        ("FrameOfReferenceUID", "different frames of reference"),
    ],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_series_of_several_are_mixed_only_if_that_is_said(
    cli, scans, tmp_path, tag, words, by_name
):
    for number, (name, path) in enumerate(scans.items(), start=1):
        about = {tag: f"2020010{number}", "PatientSex": "F", "PatientAge": "077Y"}
        save_series(read_scan(path), tmp_path / "study", f"AX {name}", number, **about)
    named = [f"--input={name}={tmp_path / 'study'}::AX {name}" for name in scans]
    given = [f"--input-dir={tmp_path / 'study'}"] if by_name else named
    arguments = ("segment", "-m", "tiny", *given, "-o", tmp_path / "o")
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert words in outcome.sentence
    assert "--mixed" in outcome.sentence
    outcome = cli(*arguments, "--mixed")
    assert outcome.code == 0
    assert words in outcome.errors
    written = (tmp_path / "o" / "run.json").read_text() + outcome.output + outcome.errors
    assert "077Y" not in written


def save_series(scan: Scan, folder: Path, description: str, number: int, **more: str) -> None:
    """Write a scan as a DICOM series into a folder that may hold others."""
    folder.mkdir(exist_ok=True)
    uid = generate_uid()
    for index in range(scan.shape[2]):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid()
        data.SeriesInstanceUID, data.SeriesNumber, data.Modality = uid, number, "MR"
        data.SeriesDescription, data.InstanceNumber = description, index + 1
        for keyword, value in more.items():
            setattr(data, keyword, value)
        data.Columns, data.Rows = scan.shape[:2]
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        data.ImagePositionPatient = [0, 0, index]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 1
        data.PixelData = scan.array[:, :, index].T.astype("<i2").tobytes()
        data.save_as(folder / f"{number}_{index}.dcm", enforce_file_format=True)
