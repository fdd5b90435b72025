"""Results of one run each, and what they say they are of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SimpleITK as sitk

from factorizer_engine.cli import outputs, session
from factorizer_engine.protocol.errors import BadInputError
from processes import wait_until


@pytest.fixture
def call(scans) -> list[str]:
    """Arguments of both commands for the tiny model."""
    named = [part for name, path in scans.items() for part in ("--input", f"{name}={path}")]
    return ["-m", "tiny", *named]


@pytest.fixture
def no_engine(monkeypatch):
    """Fails the test if an engine is started."""
    monkeypatch.setattr(session, "EngineClient", lambda **_options: pytest.fail("it started"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_result_tells_which_file_is_which_channel(tmp_path, cli, scans, call):
    output = tmp_path / "o"
    outcome = cli("segment", *call, "-o", output, "--overlap", "0.25")
    record = json.loads((output / "run.json").read_text())
    assert record["command"] == "segment"
    assert record["model"] == {"name": "tiny", "version": "1.0.0"}
    sources = {name: channel["source"] for name, channel in record["channels"].items()}
    assert sources == {name: str(path) for name, path in scans.items()}
    assert record["settings"]["overlap"] == 0.25
    assert record["settings"]["precision"] == "float32"
    assert sorted(record["files"]) == sorted(path.name for path in output.iterdir())
    for name, path in scans.items():
        assert name in outcome.output and path.name in outcome.output
    kept = sitk.ReadImage(str(output / "segmentation.seg.nrrd"))
    assert kept.GetMetaData("Factorizer_Model") == "tiny 1.0.0"
    assert kept.GetMetaData("Factorizer_Channel_T1") == "case_T1.nii.gz"
    assert "overlap 0.25" in kept.GetMetaData("Factorizer_Settings")


def test_components_tell_what_they_are_of(tmp_path, cli, call):
    assert cli("components", *call, "-o", tmp_path / "o", "-n", "2", "--region", "WT").code == 0
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert (record["command"], record["count"], record["region"]) == ("components", 2, "WT")
    assert sorted(record["files"]) == sorted(p.name for p in (tmp_path / "o").iterdir())


@pytest.mark.parametrize("command", ["segment", "components"])
def test_earlier_results_are_kept_unless_they_may_go(
    tmp_path, cli, call, monkeypatch, no_engine, command
):
    output = tmp_path / "o"
    output.mkdir()
    (output / "segmentation.seg.nrrd").write_text("corrected by hand")
    outcome = cli(command, *call, "-o", output)
    assert outcome.code == 2
    assert "--overwrite" in outcome.sentence and "segmentation.seg.nrrd" in outcome.sentence
    assert content(output) == {"segmentation.seg.nrrd": b"corrected by hand"}


def test_what_the_new_run_does_not_write_goes_with_the_earlier_results(tmp_path, cli, call):
    output = tmp_path / "o"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    assert cli("segment", *call, "-o", output, "--probabilities").code == 0
    (output / "component_9.nii.gz").write_text("not of that run")
    assert cli("segment", *call, "-o", output).code == 2
    assert cli("segment", *call, "-o", output, "--overwrite").code == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "component_9.nii.gz",
        "lesions.csv",
        "notes.txt",
        "run.json",
        "segmentation.nii.gz",
        "segmentation.seg.nrrd",
    ]


def test_results_without_a_record_are_known_by_their_names(tmp_path):
    for name in ("probabilities.nii.gz", "component_4.nii.gz", "scan.nii.gz"):
        (tmp_path / name).touch()
    with outputs.results_written_at_once(tmp_path, overwrite=True) as unfinished:
        (unfinished / "lesions.csv").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lesions.csv", "scan.nii.gz"]


def test_a_record_cannot_have_other_files_removed(tmp_path):
    (tmp_path / "thesis.docx").touch()
    (tmp_path / "run.json").write_text('{"files": ["thesis.docx", "../x", "run.json"]}')
    with outputs.results_written_at_once(tmp_path, overwrite=True) as unfinished:
        (unfinished / "lesions.csv").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lesions.csv", "thesis.docx"]


def test_the_record_of_a_training_is_not_replaced(tmp_path, cli, call, no_engine):
    (tmp_path / "run.json").write_text('{"finished": true}')
    outcome = cli("segment", *call, "-o", tmp_path, "--overwrite")
    assert outcome.code == 2
    assert "something else" in outcome.sentence
    assert (tmp_path / "run.json").read_text() == '{"finished": true}'


def test_a_scan_that_is_called_like_a_result_is_not_replaced(tmp_path, cli, scans):
    output = tmp_path / "o"
    output.mkdir()
    scan = scans["FLAIR"].rename(output / "segmentation.nii.gz")
    before = scan.read_bytes()
    named = ["-i", f"FLAIR={scan}", "-i", f"T1={scans['T1']}"]
    for command in (["segment"], ["components"], ["refine", "--add", "WT=0,0,0"]):
        outcome = cli(*command, "-m", "tiny", *named, "-o", output, "--overwrite")
        assert "would be replaced by what is made of it" in outcome.sentence
    assert content(output) == {"segmentation.nii.gz": before}


def test_a_folder_that_is_called_like_a_result_is_told_at_once(tmp_path, cli, call, no_engine):
    (tmp_path / "o" / "lesions.csv").mkdir(parents=True)
    outcome = cli("segment", *call, "-o", tmp_path / "o", "--overwrite")
    assert "a folder called lesions.csv" in outcome.sentence


def test_results_that_came_meanwhile_are_kept(tmp_path):
    with pytest.raises(BadInputError, match="earlier run"):
        with outputs.results_written_at_once(tmp_path, overwrite=False) as unfinished:
            (unfinished / "lesions.csv").write_text("new")
            (tmp_path / "lesions.csv").write_text("another run's")
    assert content(tmp_path) == {"lesions.csv": b"another run's"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-i", "FLAIR=/nowhere/flair.nii", "-i", "T1=x"), "flair.nii does not exist"),
        (("-i", "/nowhere/study::3"), "study does not exist"),
        (("-i", "FLAIR="), "without a file"),
        (("-m", "nothing"), "no model called nothing"),
        (("--reference", "T9"), "T9"),
    ],
)
def test_what_costs_nothing_is_checked_before_the_engine_starts(
    tmp_path, cli, call, no_engine, arguments, words
):
    outcome = cli("segment", *call, *arguments, "-o", tmp_path / "new" / "o")
    assert outcome.code == 2
    assert words in outcome.sentence
    assert not (tmp_path / "new").exists()


def test_a_region_that_does_not_exist_is_told_at_once(tmp_path, cli, call, no_engine):
    outcome = cli("components", *call, "-o", tmp_path / "o", "--region", "XX")
    assert "no region 'XX'; its regions are ET, TC, WT" in outcome.sentence
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment", "--studies", "", "-o", "x"],
        ["segment", "-i", "", "-o", "x"],
        ["check", "-i", ""],
        ["inspect", ""],
        ["models", "info", ""],
        ["models", "install", ""],
        ["models", "remove", ""],
        ["models", "import", "", "-o", "x"],
        ["models", "import", "weights.pt", "-o", ""],
        ["train", ""],
        ["train", "config.yaml", "-o", ""],
        ["train", "config.yaml", "--data", ""],
        ["evaluate", "", "-m", "tiny"],
        ["evaluate", "data", "-m", "tiny", "-o", ""],
        ["evaluate", "data", "--predictions", ""],
        ["evaluate", "--compare", "", "other"],
        ["export", "", "-o", "x"],
        ["export", "run", "-o", ""],
        ["export", "run", "-o", "x", "--config", ""],
    ],
    ids=" ".join,
)
def test_nothing_is_no_name_and_no_path(tmp_path, cli, no_engine, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert any(word in outcome.sentence for word in ("empty", "without a file", "Say which model"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["segment", "components"])
def test_an_empty_output_is_not_the_current_folder(tmp_path, cli, call, no_engine, command):
    outcome = cli(command, *call, "-o", "")
    assert outcome.code == 2
    assert "empty" in outcome.sentence


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_a_terminated_command_leaves_nothing_behind(tmp_path, environment, call):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["segment", *call, "-o", str(tmp_path / "o")]
    process = subprocess.Popen(
        [sys.executable, "-m", "factorizer_engine.cli", *command],
        env={**os.environ, **environment, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_until(lambda: any(temporary.iterdir()))
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode not in (0, -signal.SIGTERM)
    assert errors.count("\n") == 1 and "cancelled" in errors
    assert not any(temporary.iterdir())
    assert not (tmp_path / "o").exists()
