"""`factorizer train` and `factorizer export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factorizer_engine.cli.models import describe_bundle
from factorizer_engine.cli.options import given_path
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.inference.allocator import keep_freed_memory
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.wording import counted

if TYPE_CHECKING:
    from factorizer_engine.training.config import TrainingConfig


def train(
    config: Annotated[
        Path, typer.Argument(help="Training configuration (YAML).", parser=given_path)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            parser=given_path,
            help="Dataset folder instead of the configuration's.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            parser=given_path,
            help="Folder of the run instead of its own.",
        ),
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
    from factorizer_engine.training.config import load_config
    from factorizer_engine.training.run.run import train

    keep_freed_memory()
    settings = load_config(config, data, output)
    if check:
        _print_findings(settings)
    else:
        train(settings, resume)


def _print_findings(config: TrainingConfig) -> None:
    """All that is noticed about the data, one a line; fails if training could not start."""
    from factorizer_engine.training.data.checks import UnfitDataError
    from factorizer_engine.training.run.checks import check_training

    try:
        report = check_training(config)
    except UnfitDataError as error:
        typer.echo("\n".join(map(str, error.report.findings)))
        problems = counted(len(error.report.problems), "problem")
        raise BadInputError(
            f"The dataset is not fit for training: {problems}.", error.details
        ) from error
    for remark in report.remarks:
        typer.echo(remark)
    count = len(report.volumes)
    typer.echo(f"{counted(count, 'case')} {'is' if count == 1 else 'are'} fit for training.")


class Weights(str, Enum):
    """Which averaged weights of a run."""

    best = "best"
    final = "final"


def export(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folder of the run; several become an ensemble.", parser=given_path),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            parser=given_path,
            help="Folder of the model, named like it.",
        ),
    ],
    weights: Annotated[
        Weights, typer.Option("--weights", help="The best on validation, or the last.")
    ] = Weights.best,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="PATH",
            parser=given_path,
            help="YAML whose 'bundle' section (texts, licence, ...) is taken instead.",
        ),
    ] = None,
    coarse: Annotated[
        str | None,
        typer.Option(
            "--coarse",
            metavar="MODEL",
            help="Model whose findings this one refines: the first stage of a cascade.",
        ),
    ] = None,
    fewer: Annotated[
        list[Path] | None,
        typer.Option(
            "--fewer",
            metavar="RUN",
            parser=given_path,
            help="Folder of a run that learned from studies which lack scans; its network answers "
            "where scans are missing. May be repeated.",
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model there.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a model of a finished training run."""
    from factorizer_engine.training.export import export as exporting

    bundle = exporting.export(
        runs,
        output,
        weights.value,
        overwrite=replace,
        config=config,
        coarse=coarse,
        fewer=fewer or (),
    )
    TERMINAL.print(describe_bundle(bundle))
    for folder in exporting.results_of_others(runs, bundle):
        TERMINAL.print(
            f"The results in {folder} are of another model, so the card leaves them out; "
            "evaluate this one and export again."
        )
