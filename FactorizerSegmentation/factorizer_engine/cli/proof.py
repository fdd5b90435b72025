"""`factorizer components --prove`: evidence put to the proof on labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from factorizer_engine.cli.terminal import TERMINAL, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import prepare_output_folder, write_csv, write_json
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice

if TYPE_CHECKING:
    from factorizer_engine.components.trial import Trial


def prove(
    data: Path, output: Path, choice: ModelChoice, cases: Sequence[str], region: str | None
) -> None:
    """Write proof.json and proof.csv, after every case anew, and print a table.

    Args:
        data: Training configuration, folder of a run, or folder of a dataset.
        output: Folder for the files.
        choice: The model, on which device.
        cases: Names of cases; without any those that the split holds out, or all.
        region: Region whose logit is watched; by default a case's largest.

    Raises:
        BadInputError: If cases or regions are unknown.
    """
    from factorizer_engine.components.trial import try_case
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.allocator import keep_freed_memory
    from factorizer_engine.training.evaluation.evaluation import select_cases
    from factorizer_engine.training.evaluation.predictors import open_model

    if not choice.model:
        raise BadInputError("Say which model is put to the proof: give it with --model.")
    folder = prepare_output_folder(output)
    dataset = select_cases(data, cases)
    keep_freed_memory()
    predictor = open_model(choice.model, choice.device)
    segmenter = predictor.segmenter
    names = [r.name for r in segmenter.bundle.description.regions]
    unknown = [name for name in names if name not in dataset.regions]
    if unknown:
        raise BadInputError(
            f"The dataset has no region {unknown[0]}; its regions are {', '.join(dataset.regions)}."
        )
    if region is not None and region not in names:
        raise BadInputError(
            f"The model has no region '{region}'; its regions are {', '.join(names)}."
        )
    trials: list[Trial] = []
    with TERMINAL.progress() as move:
        for case, part in zip(dataset.cases, Monitor(move).parts(len(dataset.cases)), strict=True):
            scans, label = predictor.inputs(case)
            part.report(f"segmenting {case.name}", 0.0)
            result = segmenter.segment(scans, next(iter(scans)), monitor=None)
            truth = {
                name: Scan(
                    np.isin(label.array, dataset.regions[name]).astype(np.float32), label.grid
                )
                for name in names
            }
            trials.append(
                try_case(segmenter, result, case.name, truth, region, monitor=part.span(0.1, 1.0))
            )
            _write(trials, predictor.note, folder)
    TERMINAL.print(_table(trials))
    TERMINAL.print(f"All figures and curves are in {folder}")


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
    columns = [f"{trial.case} ({trial.region})" for trial in trials]
    table = make_table("Proof", "Figure", *columns, "median#")
    table.add_row("first component", *(trial.first for trial in trials), "")
    for name in trials[0].figures:
        values = [trial.figures[name] for trial in trials]
        table.add_row(name, *(f"{value:.3f}" for value in values), f"{median(values):.3f}")
    return table
