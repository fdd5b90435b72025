"""How a model does on scans that differ from those it was trained on: Dice under perturbations."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from factorizer_engine.images.resampling import resample
from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.perturbations import (
    PERTURBATIONS,
    Perturbation,
    is_stripped,
)
from factorizer_engine.training.evaluation.predictors import ModelPredictor
from factorizer_engine.training.evaluation.scoring import dice_on, mean_and_deviation

#: From this mean Dice on, which reads 1.000, a label loses nothing where it is sampled like scans.
LOSSLESS_DICE = 0.9995


def measure_robustness(
    predictor: ModelPredictor,
    dataset: Dataset,
    output: str | Path,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    seed: int = 42,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Dice of every region of every case under every perturbation; writes JSON and CSV.

    The changed scans take the way of any user's files through the segmenter. Its label map is
    brought onto the grid of the reference label (nearest voxel). `label` is the Dice of the
    reference label itself after the way to the changed scans' grid and back: 1 unless they are
    sampled differently.

    Args:
        predictor: The model.
        dataset: The cases and their regions.
        output: Folder for `robustness.json` and `robustness.csv`.
        perturbations: What is done to the scans; those that need a stripped head are left out for
            data with skulls.
        seed: With the names of case and perturbation it decides all random numbers.
        monitor: Told about every case and perturbation.

    Returns:
        {"note", "model", "seed", "cases": [case], "regions": [region],
        "perturbations": {name: {"title", "description", "dice": {case: {region: value}}, "label":
        the same, "mean": {region: value}, "sd": {region: value}}}}.

    Raises:
        BadInputError: If a case does not fit the model.
    """
    monitor = monitor or Monitor()
    painted = predictor.painted(dataset.regions)
    scores: dict[str, dict[str, Any]] = {p.name: {} for p in perturbations}
    of_labels: dict[str, dict[str, Any]] = {p.name: {} for p in perturbations}
    for number, case in enumerate(dataset.cases):
        name = case.name
        scans, label = predictor.inputs(case)
        reference = next(iter(scans))
        stripped = is_stripped(scans[reference])
        for index, perturbation in enumerate(perturbations):
            done = (number + index / len(perturbations)) / len(dataset.cases)
            monitor.report(f"{name}, {perturbation.title}", done)
            if perturbation.needs_stripped and not stripped:
                continue
            key = zlib.crc32(f"{name}/{perturbation.name}".encode())
            changed = perturbation.change(scans, np.random.default_rng([seed, key]))
            found = predictor.segment(changed, reference)
            scores[perturbation.name][name] = dice_on(found, label, dataset, painted)
            there = resample(label, changed[reference].grid, "nearest")
            of_labels[perturbation.name][name] = dice_on(there, label, dataset)
    result = {
        "note": predictor.note,
        "model": predictor.model,
        "seed": seed,
        "cases": [case.name for case in dataset.cases],
        "regions": list(dataset.regions),
        "perturbations": {
            p.name: {
                "title": p.title,
                "description": p.description,
                "dice": scores[p.name],
                "label": of_labels[p.name],
                **mean_and_deviation(scores[p.name]),
            }
            for p in perturbations
            if scores[p.name]
        },
    }
    _write(result, Path(output))
    return result


def mean_of_label(entry: Mapping[str, Any], region: str) -> float:
    """Mean Dice over the cases of the label itself, sampled like the changed scans."""
    return float(np.mean([values[region] for values in entry["label"].values()]))


def _write(result: Mapping[str, Any], folder: Path) -> None:
    write_json(folder / "robustness.json", result)
    rows = [
        [name, case, region, f"{value:.4f}", f"{entry['label'][case][region]:.4f}"]
        for name, entry in result["perturbations"].items()
        for case, regions in entry["dice"].items()
        for region, value in regions.items()
    ]
    titles = ["perturbation", "case", "region", "dice", "label"]
    write_csv(folder / "robustness.csv", [titles, *rows])
