"""`factorizer evaluate`, and the tables that it prints."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from factorizer_engine.cli import options
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.inference.allocator import keep_freed_memory
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import output_folder
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.wording import counted

if TYPE_CHECKING:
    from factorizer_engine.training.evaluation.comparison import Difference


_OF_COMPARISON = ("compare", "quiet", "verbose")
_OF_LABEL_MAPS = ("data", "output", "predictions", "root", "case", "use", "quiet", "verbose")
"""Parameters that count where no model is run."""


class Use(str, Enum):
    """What a split puts cases to."""

    held_out = "held_out"
    validation = "validation"
    train = "train"
    all = "all"


def evaluate(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Training configuration, folder of a run, or folder of a dataset.",
            parser=options.given_path,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            parser=options.given_path,
            help="Folder for metrics.json and metrics.csv.",
        ),
    ] = Path("evaluation"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Name, family or path of the model to run.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="PATH",
            parser=options.given_path,
            help="Folder of label maps to score instead.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            parser=options.given_path,
            help="Dataset folder instead of the run's or the configuration's.",
        ),
    ] = None,
    case: Annotated[
        list[str], typer.Option("--case", help="Name of a case; repeat for more than one.")
    ] = [],  # noqa: B006 (typer copies it)
    use: Annotated[Use, typer.Option("--use", help="Part of the split to evaluate.")] = (
        Use.held_out
    ),
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.float32,
    mirroring: options.Mirroring = None,
    keep: Annotated[bool, typer.Option("--keep", help="Also write the label maps.")] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Measure Dice on changed scans instead (bias field, skull, ...)."
        ),
    ] = False,
    subsets: Annotated[
        bool,
        typer.Option(
            "--subsets", help="Measure Dice with every part of the model's channels instead."
        ),
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option("--calibration", help="Measure whether probabilities are right instead."),
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", help="Measure Dice after simulated clicks instead."),
    ] = False,
    from_nothing: Annotated[
        bool,
        typer.Option(
            "--from-nothing", help="Let these clicks begin with nothing, not with what it finds."
        ),
    ] = False,
    channel: Annotated[
        list[str],
        typer.Option(
            "--channel", help="Give the model only this channel; repeat for more than one."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="PATH PATH",
            help="Folders of two evaluations to compare instead.",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score a model on labelled cases, or compare two evaluations."""
    from factorizer_engine.training.evaluation import comparison, evaluation, scoring

    if compare is not None:
        options.refuse_unused(context, "--compare", _OF_COMPARISON)
        first, second = (scoring.read_results(options.given_path(folder)) for folder in compare)
        TERMINAL.print(differences_table(comparison.compare(first, second)))
        return
    if data is None:
        raise BadInputError("Say which cases to evaluate: a configuration, a run or a dataset.")
    measured = {
        "--robustness": robustness,
        "--subsets": subsets,
        "--calibration": calibration,
        "--interactive": interactive,
    }
    other = next((name for name, is_asked in measured.items() if is_asked), "")
    if keep and other:
        raise BadInputError(f"--keep does nothing with {other}; leave it out.")
    if predictions is not None and model is None and not (other or channel):
        options.refuse_unused(context, "--predictions", _OF_LABEL_MAPS)
    keep_freed_memory()
    with output_folder(output) as folder, TERMINAL.progress() as move:
        result = evaluation.evaluate(
            data,
            folder,
            model=model,
            predictions=predictions,
            cases=case,
            use=use.value,
            device=device,
            precision=precision.value,
            mirroring=mirroring,
            keep=keep,
            robustness=robustness,
            subsets=subsets,
            calibration=calibration,
            interactive=interactive,
            from_nothing=from_nothing,
            channels=channel,
            monitor=Monitor(move),
            root=root,
        )
    asked = (
        (subsets, subsets_table),
        (robustness, robustness_table),
        (calibration, calibration_table),
        (interactive, clicks_table),
    )
    table = next((table for is_asked, table in asked if is_asked), results_table)
    TERMINAL.print(table(result))
    TERMINAL.print(f"Results are in {folder}")


def results_table(result: dict[str, Any]) -> Table:
    """Every case and the means."""
    from factorizer_engine.training.evaluation.metrics import METRICS
    from factorizer_engine.training.evaluation.scoring import as_text

    table = Table(title=result["note"] or None)
    table.add_column("case", no_wrap=True)
    table.add_column("region", no_wrap=True)
    for title in METRICS.values():
        table.add_column(title, justify="right")
    for case, regions in result["cases"].items():
        for region, scores in regions.items():
            table.add_row(case, region, *(f"{scores[m]:.3f}" for m in METRICS))
    table.add_section()
    for region, metrics in result["summary"].items():
        cells = (as_text(metrics[m]["mean"], metrics[m]["sd"]) for m in METRICS)
        table.add_row("mean", region, *cells)
    return table


def robustness_table(result: dict[str, Any]) -> Table:
    """Mean Dice under every perturbation; also of labels that lose."""
    from factorizer_engine.training.evaluation.robustness import LOSSLESS_DICE, mean_of_label
    from factorizer_engine.training.evaluation.scoring import as_text

    table = Table(title=f"Dice over {_cases(result)}")
    table.add_column("scans", no_wrap=True)
    for region in result["regions"]:
        table.add_column(region, justify="right")
    table.add_column("label itself", justify="right")
    for entry in result["perturbations"].values():
        cells = (as_text(entry["mean"][r], entry["sd"][r]) for r in result["regions"])
        of_labels = [mean_of_label(entry, region) for region in result["regions"]]
        loses = min(of_labels) < LOSSLESS_DICE
        limit = " ".join(f"{value:.2f}" for value in of_labels) if loses else ""
        table.add_row(entry["title"], *cells, limit)
    return table


def subsets_table(result: dict[str, Any]) -> Table:
    """Mean Dice with every part of the channels, and what that is less than with all."""
    table = Table(title=f"Dice over {_cases(result)}")
    table.add_column("channels")
    for region in result["regions"]:
        table.add_column(region, justify="right")
    for entry in result["subsets"]:
        table.add_row(" + ".join(entry["channels"]), *map(partial(_cell, entry), result["regions"]))
    return table


def _cases(result: dict[str, Any]) -> str:
    """How many cases were measured, and of what."""
    return f"{counted(len(result['cases']), 'case')} ({result['note']})"


def _cell(entry: dict[str, Any], region: str) -> str:
    if region not in entry["mean"]:
        return "-"
    return f"{entry['mean'][region]:.3f} ({entry['difference'][region]['mean']:+.3f})"


def calibration_table(result: dict[str, Any]) -> Table:
    """The share of voxels that belong to each region, by their probability."""
    regions = result["regions"]
    table = Table(title=f"Share of voxels that belong to a region, of {_cases(result)}")
    table.add_column("probability")
    for region in regions:
        table.add_column(region, justify="right")
    for entries in zip(*(summary["bins"] for summary in regions.values()), strict=True):
        low = max(entries[0]["from"], result["doubted_from"])
        shares = ("-" if e["belonging"] is None else f"{e['belonging']:.2f}" for e in entries)
        table.add_row(f"{low:.2f} to {entries[0]['to']:.2f}", *shares)
    table.add_section()
    for key, title in (
        ("error", "calibration error"),
        ("temperature", "best temperature"),
        ("error_with_temperature", "error with it"),
    ):
        table.add_row(title, *(f"{summary[key]:.3f}" for summary in regions.values()))
    return table


def differences_table(differences: Sequence[Difference]) -> Table:
    """Means of both models and the interval of their difference; clear differences are starred."""
    from factorizer_engine.training.evaluation.metrics import METRICS

    count = differences[0].cases if differences else 0
    table = Table(title=f"B minus A over {counted(count, 'case')}, 95 % bootstrap interval")
    for title in ("region", "metric", "A", "B", "B - A", "interval", ""):
        table.add_column(title)
    for d in differences:
        table.add_row(
            d.region,
            METRICS[d.metric],
            f"{d.first:.3f}",
            f"{d.second:.3f}",
            f"{d.mean:+.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            "*" if d.is_clear else "",
        )
    return table


def clicks_table(result: dict[str, Any]) -> Table:
    """Mean Dice after so many clicks, and how many a Dice takes."""
    table = Table(title=f"Dice after clicks, {_cases(result)}")
    methods = result["methods"]
    goals = list(next(iter(next(iter(methods.values()))["needed"].values())))
    table.add_column("region")
    table.add_column("answered by")
    for count in result["counts"]:
        table.add_column(str(count), justify="right")
    for goal in goals:
        table.add_column(f"for {goal}", justify="right")
    for region in result["regions"]:
        for name, entry in methods.items():
            cells = (f"{value:.3f}" for value in entry["mean"][region])
            needed = (_needed(entry["needed"][region][goal], result["counts"]) for goal in goals)
            table.add_row(region, name, *cells, *needed)
        table.add_section()
    return table


def _needed(found: Sequence[float], counts: Sequence[int]) -> str:
    """The median number of clicks, and what part of the cases gets there at all."""
    clicks, part = found
    shown = f"{clicks:g}" if clicks <= counts[-1] else f"over {counts[-1]}"
    return f"{shown} ({part:.0%})"
