"""The command line, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import tiny
from factorizer_engine.cli import main, session
from factorizer_engine.protocol.models import Subset


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended."""

    code: int
    output: str
    errors: str

    @property
    def sentence(self) -> str:
        """The one line on standard error, without the program's name."""
        (line,) = self.errors.strip().splitlines()
        assert line.startswith("factorizer: ")
        return line.removeprefix("factorizer: ")


@pytest.fixture(scope="session")
def run_cli(environment) -> Callable[..., Outcome]:
    """Runs `factorizer` with some arguments in a process of its own."""

    def run(*arguments: object, **variables: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "factorizer_engine.cli", *map(str, arguments)],
            env={**os.environ, **environment, **variables},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def cli(engine, environment, monkeypatch, capfd) -> Callable[..., Outcome]:
    """Runs `factorizer` within this process and with the shared engine, which is quicker."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "EngineClient", lambda **_options: nullcontext(engine))

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(caught.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def frugal(tmp_path_factory) -> Path:
    """A model that sees the core without FLAIR, and nothing without T1."""
    subsets = (
        Subset(("FLAIR", "T1"), ("ET", "TC", "WT"), {"TC": 0.9, "WT": 0.9}, 3),
        Subset(("T1",), ("TC",), {"TC": 0.8, "WT": 0.4}, 3),
        Subset(("FLAIR",), (), {"TC": 0.1, "WT": 0.2}, 3),
    )
    return tiny.bundle(tmp_path_factory.mktemp("frugal"), subsets=subsets).description.path
