"""Scores of label maps against reference labels, case by case and summed up, and their files."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from factorizer_engine.images.files import read_labels
from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.metrics import METRICS, region_dice, score_region
from factorizer_engine.training.evaluation.predictors import Predictor
from factorizer_engine.training.records.machine import describe_machine


def score_cases(
    predictor: Predictor,
    dataset: Dataset,
    output: str | Path,
    tolerance_mm: float = 2.0,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Score every region of every case and write `metrics.json` and `metrics.csv`.

    Args:
        predictor: Gives the label maps.
        dataset: The cases and their regions.
        output: Folder for the results.
        tolerance_mm: For surface Dice.
        monitor: Told about every case.

    Returns:
        {"note", "model", "regions", "tolerance_mm", "cases": {case: {region: {metric: value}}},
        "seconds": {case: s}, "machine": see `describe_machine` (after the first case) or None,
        "summary": {region: {metric: {"mean", "sd" (None of one case), "median"}}}}.

    Raises:
        BadInputError: If a label map is missing or lies on another grid.
    """
    monitor = monitor or Monitor()
    cases, seconds, machine = {}, {}, None
    painted = predictor.painted(dataset.regions)
    for number, case in enumerate(dataset.cases):
        monitor.report(case.name, number / len(dataset.cases))
        started = time.monotonic()
        prediction = predictor(case)
        seconds[case.name] = round(time.monotonic() - started, 2)
        if machine is None and predictor.device is not None:
            # Before the scores take memory of their own.
            machine = describe_machine(predictor.device)
        reference = read_labels(case.label)
        cases[case.name] = score_case(
            prediction, reference, dataset.regions, tolerance_mm, dataset.ignore, painted
        )
    result = {
        "note": predictor.note,
        "model": predictor.model,
        "regions": {name: list(values) for name, values in dataset.regions.items()},
        "tolerance_mm": tolerance_mm,
        "cases": cases,
        "seconds": seconds,
        "machine": machine,
        "summary": summarize(cases),
    }
    write_results(result, Path(output))
    return result


def score_case(
    prediction: Scan,
    reference: Scan,
    regions: Mapping[str, Sequence[int]],
    tolerance_mm: float = 2.0,
    ignore: int | None = None,
    painted: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, dict[str, float]]:
    """Scores of every region of two label maps on one grid.

    Args:
        prediction: What is scored.
        reference: What is right.
        regions: Name to label values.
        tolerance_mm: For surface Dice.
        ignore: Value of the reference where nothing is known and any prediction passes.
        painted: Name to the values of the prediction, where they differ from the reference's.

    Raises:
        BadInputError: If the grids differ.
    """
    if not same_grid(prediction.grid, reference.grid):
        raise BadInputError(
            f"The label maps {prediction.name or 'predicted'} and {reference.name} "
            "lie on different grids; bring the first one onto that of the second."
        )
    prediction = without_unknown(prediction, reference, ignore)
    return {
        region: score_region(
            np.isin(prediction.array, list((painted or regions)[region])),
            np.isin(reference.array, list(values)),
            reference.spacing,
            tolerance_mm,
        ).as_dict()
        for region, values in regions.items()
    }


def without_unknown(prediction: Scan, reference: Scan, ignore: int | None) -> Scan:
    """The prediction with background where the reference on its grid has the value `ignore`."""
    if ignore is None:
        return prediction
    return prediction.with_array(np.where(reference.array == ignore, 0, prediction.array))


def dice_on(
    found: Scan,
    reference: Scan,
    dataset: Dataset,
    painted: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, float]:
    """Dice of every region of a label map on any grid, brought onto that of the reference.

    Args:
        found: The label map.
        reference: What is right.
        dataset: Whose regions are meant.
        painted: Name to the values of the label map, where they differ from the reference's.
    """
    resampled = resample(found, reference.grid, "nearest")
    there = without_unknown(resampled, reference, dataset.ignore).array
    return {
        region: region_dice(
            np.isin(there, list((painted or dataset.regions)[region])),
            np.isin(reference.array, values),
        )
        for region, values in dataset.regions.items()
    }


def mean_and_deviation(
    scores: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float | None]]:
    """{"mean": {region: value}, "sd": {region: value}} over cases with a value per region."""
    found: dict[str, dict[str, float | None]] = {"mean": {}, "sd": {}}
    for region in next(iter(scores.values()), {}):
        values = np.array([case[region] for case in scores.values()])
        found["mean"][region] = float(values.mean())
        found["sd"][region] = _deviation(values)
    return found


def _deviation(values: np.ndarray) -> float | None:
    """Standard deviation of a sample; None of one value, which has none."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def as_text(mean: float, sd: float | None, form: str = "{:.3f}") -> str:
    """A mean for tables, with its standard deviation if there is one."""
    spread = "" if sd is None else f" ± {form.replace('+', '').format(sd)}"
    return f"{form.format(mean)}{spread}"


def summarize(cases: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Mean, standard deviation and median over the cases, per region and metric."""
    regions = list(next(iter(cases.values())))
    summary: dict[str, Any] = {}
    for region in regions:
        summary[region] = {}
        for metric in METRICS:
            values = np.array([scores[region][metric] for scores in cases.values()])
            summary[region][metric] = {
                "mean": float(values.mean()),
                "sd": _deviation(values),
                "median": float(np.median(values)),
            }
    return summary


def write_results(result: Mapping[str, Any], folder: Path) -> None:
    """`metrics.json` with everything and `metrics.csv` with a line per case and region.

    Raises:
        BadInputError: If they cannot be written.
    """
    write_json(folder / "metrics.json", result)
    scores = [
        (case, region, scores)
        for case, regions in result["cases"].items()
        for region, scores in regions.items()
    ]
    rows = [
        [case, region, *(f"{value:.4f}" for value in values.values())]
        for case, region, values in scores
    ]
    write_csv(folder / "metrics.csv", [["case", "region", *scores[0][-1]], *rows])


def read_results(folder: str | Path) -> dict[str, Any]:
    """The results in a folder (or in a metrics.json).

    Raises:
        BadInputError: If there are none.
    """
    path = Path(folder)
    path = path / "metrics.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"There are no evaluation results in {folder}.", str(error)) from error
