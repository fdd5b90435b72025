"""Runs the files in `windows/` in a process and on a display of their own.

The host changes PySide6 for the whole process and keeps one application per process, so that
other tests may not share it.
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


def test_the_tests_in_windows_pass():
    command = [sys.executable, "-m", "pytest", str(HERE / "windows")]
    with display_environment() as display:
        environment = {**os.environ, **display, IN_WINDOW: "1"}
        environment.setdefault("OMP_NUM_THREADS", "2")

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
