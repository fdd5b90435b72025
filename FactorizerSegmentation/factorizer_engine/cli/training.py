"""`factorizer train`, `evaluate` and `export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli.models import describe_bundle
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose


def train(
    config: Annotated[Path, typer.Argument(help="Training configuration (YAML).")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Dataset folder instead of the configuration's.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run instead of its own.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the output folder.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the configuration and the data.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Train a network."""
    from factorizer_engine.training.run import train_command

    train_command(config, resume=resume, check=check, data=data, output=output)


class Weights(str, Enum):
    """Which averaged weights of a run."""

    best = "best"
    final = "final"


def export(
    runs: Annotated[
        list[Path], typer.Argument(help="Folder of the run; several become an ensemble.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the model, named like it.")
    ],
    weights: Annotated[
        Weights, typer.Option("--weights", help="The best on validation, or the last.")
    ] = Weights.best,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model there.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a model of a finished training run."""
    from factorizer_engine.training import export as exporting

    bundle = exporting.export(runs, output, weights.value, overwrite=replace)
    TERMINAL.print(describe_bundle(bundle))
