"""Where the command runs: odd names of folders, no network, an installation that is read only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import factorizer_engine
from engine.conftest import make_array, save_scan

NO_NETWORK = """\
import socket
def refuse(*_arguments, **_options):
    raise OSError("there is no network")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""


def scans_in(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    given = []
    for seed, channel in enumerate(("FLAIR", "T1")):
        path = save_scan(folder / f"{channel} größe 头.nii.gz", make_array(seed))
        given += ["--input", f"{channel}={path}"]
    return given


@pytest.mark.parametrize("command", ["segment", "components"])
def test_folders_and_files_may_have_blanks_umlauts_and_chinese_names(tmp_path, run_cli, command):
    place = tmp_path / "Müller, Jürgen (2026)" / "头部 扫描"
    outcome = run_cli(command, "-m", "tiny", *scans_in(place), "-o", place / "Ergebnis für 医生")
    assert (outcome.code, outcome.errors) == (0, "")
    assert (place / "Ergebnis für 医生" / "run.json").is_file()


def test_neither_the_command_nor_its_engine_needs_a_network(tmp_path, run_cli):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    call = ["segment", "-m", "tiny", *scans_in(tmp_path / "scans"), "-o", tmp_path / "out"]
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    outcome = run_cli(*call, PYTHONPATH=os.pathsep.join(filter(None, paths)))
    assert (outcome.code, outcome.errors) == (0, "")


def test_nothing_is_written_into_the_installation(tmp_path, run_cli):
    installed = Path(factorizer_engine.__file__).parents[1]

    def state() -> dict[Path, float]:
        files = (path for path in installed.rglob("*") if "__pycache__" not in path.parts)
        return {path: path.stat().st_mtime for path in files}

    before = state()
    call = ["segment", "-m", "tiny", *scans_in(tmp_path / "scans"), "-o", tmp_path / "out"]
    outcome = run_cli(*call, PYTHONDONTWRITEBYTECODE="1")
    assert (outcome.code, outcome.errors) == (0, "")
    assert state() == before
