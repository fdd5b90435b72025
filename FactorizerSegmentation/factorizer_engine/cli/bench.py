"""`factorizer bench`: the benchmark of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

from factorizer_engine.protocol.errors import BadInputError

TESTING = Path(__file__).resolve().parents[3] / "Testing"
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def bench(context: typer.Context) -> None:
    """Time the engine beside other networks (in a copy of the repository)."""
    if not (TESTING / "benchmarks").is_dir():
        raise BadInputError(
            "The benchmark does not come with the package; run it in a copy of the repository."
        )
    search = os.pathsep.join([str(TESTING), str(TESTING.parent / "FactorizerSegmentation")])
    command = [sys.executable, "-m", "benchmarks", *context.args]
    raise typer.Exit(subprocess.call(command, env={**os.environ, "PYTHONPATH": search}))
