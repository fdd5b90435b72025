"""Nothing but DICOM names the patient: no other result, no log, no sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pydicom
import pytest

from engine.cli.test_series import save_series
from factorizer_engine.images.files import read_scan
from factorizer_engine.protocol.volumes import mark_of

NAME, NUMBER, BORN = "Zweigelt^Ottilie", "ID-4711-X", "19410203"
SECRETS = ("Zweigelt", "Ottilie", NUMBER, BORN)


@pytest.fixture
def study(scans, tmp_path) -> Path:
    """A folder with one series for each channel, of a patient with a name."""
    folder = tmp_path / "study"
    told = {"PatientName": NAME, "PatientID": NUMBER, "PatientBirthDate": BORN}
    told |= {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.4.5"}
    for number, (name, path) in enumerate(scans.items(), start=1):
        save_series(read_scan(path), folder, f"AX {name}", number, **told)
    return folder


def leaks(content: bytes) -> list[str]:
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return [secret for secret in SECRETS if secret.encode() in content]


def test_no_result_and_no_log_names_the_patient(run_cli, study, tmp_path):
    named = [f"--input={name}={study}::AX {name}" for name in ("FLAIR", "T1")]
    work, out = ("-m", "tiny", *named, "-d", "cpu", "--verbose"), tmp_path / "out"
    for command in (
        ("segment", *work, "-o", out),
        ("components", *work, "-o", out / "components", "-n", "1"),
        ("report", out, "-o", out / "page.html", "--verbose"),
        ("export-dicom", out, "-o", out / "dicom", "--verbose"),
        ("inspect", out / "dicom" / "segmentation.dcm", "--verbose"),
        ("inspect", study, "--verbose"),
    ):
        outcome = run_cli(*command)
        assert not leaks((outcome.output + outcome.errors).encode()), command
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".gz", ".nrrd", ".csv", ".json", ".html", ".dcm"}
    found = {path.name: leaks(path.read_bytes()) for path in written if path.suffix != ".dcm"}
    assert not {name: told for name, told in found.items() if told}
    assert not [path.name for path in written if leaks(path.name.encode())]
    assert str(pydicom.dcmread(out / "dicom" / "report.dcm").PatientName) == NAME


def test_what_tells_patients_apart_names_none(study):
    scan = read_scan(f"{study}::AX T1")
    assert scan.origin.patient == mark_of(NUMBER) != mark_of("another")
    assert not leaks(json.dumps(scan.origin.to_dict()).encode())
    assert mark_of("") == ""
