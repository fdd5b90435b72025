"""Where the command runs: odd names of folders, no network, an installation that is read only."""

from __future__ import annotations

import os
from pathlib import Path

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


def segmented(run_cli, folder: Path, command: str = "segment", **variables: str) -> Path:
    """Run a command on scans in a folder; returns the folder of its results."""
    given, output = scans_in(folder / "头部 扫描"), folder / "Ergebnis für 医生"
    outcome = run_cli(command, "-m", "tiny", *given, "-o", output, **variables)
    assert (outcome.code, outcome.errors) == (0, "")
    return output


def test_folders_and_files_may_have_blanks_umlauts_and_chinese_names(tmp_path, run_cli):
    output = segmented(run_cli, tmp_path / "Müller, Jürgen (2026)", "components")
    assert (output / "run.json").is_file()


def test_no_network_is_needed_and_nothing_is_written_into_the_installation(tmp_path, run_cli):
    installed = Path(factorizer_engine.__file__).parents[1]

    def state() -> dict[Path, float]:
        files = (path for path in installed.rglob("*") if "__pycache__" not in path.parts)
        return {path: path.stat().st_mtime for path in files}

    before = state()
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    paths = filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    output = segmented(run_cli, tmp_path / "a study", **variables)
    assert (output / "run.json").is_file()
    assert state() == before
