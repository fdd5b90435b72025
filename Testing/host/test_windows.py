"""Runs every file in `windows/` in a process and on a display of its own.

The host changes PySide6 for the whole process and keeps one application per process, so that
neither other tests nor other windows may share it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from host.conftest import IN_WINDOW  # noqa: E402
from host.display import display_environment  # noqa: E402

HERE = Path(__file__).resolve().parent
FILES = sorted(path.name for path in (HERE / "windows").glob("test_*.py"))


@pytest.fixture(scope="module")
def display():
    with display_environment() as variables:
        yield variables


@pytest.mark.parametrize("name", FILES)
def test_the_tests_in_this_window_pass(name, display):
    environment = {**os.environ, **display, IN_WINDOW: "1"}
    environment.setdefault("OMP_NUM_THREADS", "2")
    command = [sys.executable, "-m", "pytest", str(HERE / "windows" / name)]

    done = subprocess.run(
        command,
        cwd=HERE.parent.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    print(done.stdout)
    assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-80:])
