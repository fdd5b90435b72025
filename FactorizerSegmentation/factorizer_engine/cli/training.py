"""`factorizer train`, `evaluate` and `export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.models import describe_bundle
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.inference.allocator import keep_freed_memory
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.progress import Monitor


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
    from factorizer_engine.training.run.run import train_command

    keep_freed_memory()
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
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="YAML whose 'bundle' section (texts, licence, ...) is taken instead."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model there.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a model of a finished training run."""
    from factorizer_engine.training.export import export as exporting

    bundle = exporting.export(runs, output, weights.value, overwrite=replace, config=config)
    TERMINAL.print(describe_bundle(bundle))
    for folder in exporting.results_of_others(runs, bundle):
        TERMINAL.print(
            f"The results in {folder} are of another model, so the card leaves them out; "
            "evaluate this one and export again."
        )


class Use(str, Enum):
    """What a split puts cases to."""

    held_out = "held_out"
    validation = "validation"
    train = "train"
    all = "all"


def evaluate(
    data: Annotated[
        Path | None,
        typer.Argument(help="Training configuration, folder of a run, or folder of a dataset."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for metrics.json and metrics.csv.")
    ] = Path("evaluation"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Name, family or path of the model to run.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Folder of label maps to score instead.")
    ] = None,
    case: Annotated[
        list[str], typer.Option("--case", help="Name of a case; repeat for more than one.")
    ] = [],  # noqa: B006 (typer copies it)
    use: Annotated[Use, typer.Option("--use", help="Part of the split to evaluate.")] = (
        Use.held_out
    ),
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.float32,
    tta: options.Mirroring = None,
    keep: Annotated[bool, typer.Option("--keep", help="Also write the label maps.")] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Measure Dice on changed scans instead (bias field, skull, ...)."
        ),
    ] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", help="Folders of two evaluations to compare instead."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score a model on labelled cases, or compare two evaluations."""
    from factorizer_engine.training.evaluation import evaluation as commands

    if compare is not None:
        TERMINAL.print(commands.differences_table(commands.compare_command(*compare)))
        return
    if data is None:
        raise BadInputError("Say which cases to evaluate: a configuration, a run or a dataset.")
    folder = prepare_output_folder(output)
    keep_freed_memory()
    with TERMINAL.progress() as move:
        result = commands.evaluate_command(
            data,
            folder,
            model=model,
            predictions=predictions,
            cases=case,
            use=use.value,
            device=device,
            precision=precision.value,
            tta=tta,
            keep=keep,
            robustness=robustness,
            monitor=Monitor(move),
        )
    table = commands.robustness_table if robustness else commands.results_table
    TERMINAL.print(table(result))
    TERMINAL.print(f"Results are in {folder}")
