"""`factorizer train`, `evaluate` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli.terminal import Verbose


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
