"""Commands that are interrupted, and engines that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processes import PATIENCE, is_running, wait_until


@pytest.fixture
def running(tmp_path, environment, scans):
    """A `factorizer segment` that has just started its engine, and the engine's process id."""
    given = [part for name, path in scans.items() for part in ("--input", f"{name}={path}")]
    command = ["segment", "-m", "tiny", *given, "-o", str(tmp_path / "o")]
    # Programs that a shell runs in the background ignore Ctrl-C, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "factorizer_engine.cli", *command],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    yield process, wait_for_child(process.pid)
    process.kill()
    process.communicate()


def wait_for_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("looks into /proc")
    assert wait_until(lambda: bool(children.read_text(encoding="utf-8").strip()))
    return int(children.read_text(encoding="utf-8").split()[0])


def test_ctrl_c_ends_the_command_with_one_sentence_and_no_result(running, tmp_path):
    process, _engine = running
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert errors.strip() == "factorizer: The run was cancelled."
    assert not (tmp_path / "o").exists()


def test_an_engine_that_is_killed_is_one_sentence_and_exit_code_1(running, tmp_path):
    process, engine = running
    os.kill(engine, signal.SIGKILL)
    errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert errors.startswith("factorizer: The engine stopped unexpectedly")
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_the_engine_ends_with_the_command_that_started_it(running):
    process, engine = running
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert wait_until(lambda: not is_running(engine))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_a_current_folder_that_was_removed_is_told(tmp_path, environment):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        f"import os; os.rmdir({str(gone)!r}); from factorizer_engine.cli.app import main; main([])"
    )
    call = [sys.executable, "-c", program]
    everything = {**os.environ, **environment}
    done = subprocess.run(
        call, cwd=gone, env=everything, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("factorizer: The current folder was removed")
