"""`factorizer components --prove`: evidence put to the proof on labelled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from factorizer_engine.cli.labelled import LabelledCases
from factorizer_engine.cli.terminal import TERMINAL, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice

if TYPE_CHECKING:
    from factorizer_engine.components.trial import Trial


def prove(
    data: Path, folder: Path, choice: ModelChoice, cases: Sequence[str], region: str | None
) -> None:
    """Write proof.json and proof.csv, after every case anew, and print tables.

    Args:
        data: Training configuration, folder of a run, or folder of a dataset.
        folder: For the files.
        choice: The model, on which device.
        cases: Names of cases; without any those that the split holds out, or all.
        region: Region whose logit is watched; by default a case's largest.

    Raises:
        BadInputError: If cases or regions are unknown.
        typer.Exit: With 1 in the end, if a goal is missed.
    """
    from factorizer_engine.components.goals import GOALS
    from factorizer_engine.components.trial import try_case

    cases_of = LabelledCases.open(data, cases, "held_out", choice)
    segmenter = cases_of.predictor.segmenter
    names = [r.name for r in segmenter.bundle.description.regions]
    if region is not None and region not in names:
        raise BadInputError(
            f"The model has no region '{region}'; its regions are {', '.join(names)}."
        )
    trials: list[Trial] = []
    with TERMINAL.progress() as move:
        for one in cases_of.segmented(Monitor(move)):
            trials.append(
                try_case(segmenter, one.result, one.case, one.truth, region, monitor=one.monitor)
            )
            _write(trials, cases_of.predictor.note, folder)
    met = {goal.text: goal.met(trials) for goal in GOALS}
    TERMINAL.print(_table(trials))
    TERMINAL.print(_goals_table(trials, met))
    TERMINAL.print(f"All figures and curves are in {folder}")
    missed = sum(not all(by_case) for by_case in met.values())
    if missed:
        TERMINAL.print(f"{missed} of {len(GOALS)} goals are missed on at least one case.")
        raise typer.Exit(1)


def _write(trials: Sequence[Trial], note: str, folder: Path) -> None:
    summary: dict[str, Any] = {"model": note, "cases": [trial.to_dict() for trial in trials]}
    write_json(folder / "proof.json", summary)
    rows = [
        [trial.case, trial.region, name, f"{value:.4f}"]
        for trial in trials
        for name, value in trial.figures.items()
    ]
    write_csv(folder / "proof.csv", [["case", "region", "figure", "value"], *rows])


def _table(trials: Sequence[Trial]) -> Table:
    table = make_table("Proof", "Figure", *_columns(trials), "median#")
    table.add_row("first component", *(trial.first for trial in trials), "")
    for name in trials[0].figures:
        values = [trial.figures[name] for trial in trials]
        table.add_row(name, *(f"{value:.3f}" for value in values), f"{median(values):.3f}")
    return table


def _goals_table(trials: Sequence[Trial], met: Mapping[str, Sequence[bool]]) -> Table:
    table = make_table("Goals", "Goal", *_columns(trials))
    for text, by_case in met.items():
        table.add_row(text, *("met" if is_met else "MISSED" for is_met in by_case))
    return table


def _columns(trials: Sequence[Trial]) -> list[str]:
    return [f"{trial.case} ({trial.region})" for trial in trials]
