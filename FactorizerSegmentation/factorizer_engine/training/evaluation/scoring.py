"""Evaluation of a model, or of label maps made elsewhere, against reference labels."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from factorizer_engine.images.files import read_scan, write_nifti
from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.dataset import Case, Dataset
from factorizer_engine.training.evaluation.metrics import METRICS, score_region
from factorizer_engine.training.records.machine import describe_machine

if TYPE_CHECKING:
    from factorizer_engine.inference.segmenter import Segmenter

Predictor = Callable[[Case], Scan]


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    names: Sequence[str],
    output: str | Path,
    note: str = "",
    tolerance_mm: float = 2.0,
    device: torch.device | None = None,
    model: str | None = None,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Score every region of every case and write `metrics.json` and `metrics.csv`.

    Args:
        predictor: Gives a case's label map on the grid of its reference label.
        dataset: Cases and regions.
        names: Cases to evaluate.
        output: Folder for the results.
        note: Kept with the results: which model, device and settings.
        tolerance_mm: For surface Dice.
        device: Where the predictor computes, if it is known.
        model: Fingerprint of the bundle that predicts, if one does.

    Returns:
        {"note", "model", "regions", "tolerance_mm", "cases": {case: {region: {metric: value}}},
        "seconds": {case: s}, "machine": see `describe_machine` (after the first case) or None,
        "summary": {region: {metric: {"mean", "sd", "median"}}}}.

    Raises:
        BadInputError: If a case does not exist or a label map lies on another grid.
    """
    monitor = monitor or Monitor()
    if not names:
        raise BadInputError("There is no case to evaluate.")
    cases, seconds, machine = {}, {}, None
    for number, name in enumerate(names):
        monitor.report(name, number / len(names))
        case = dataset.case(name)
        started = time.monotonic()
        prediction = predictor(case)
        seconds[name] = round(time.monotonic() - started, 2)
        if machine is None and device is not None:  # before the scores take memory of their own
            machine = describe_machine(device)
        cases[name] = score_case(prediction, read_scan(case.label), dataset.regions, tolerance_mm)
    result = {
        "note": note,
        "model": model,
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
) -> dict[str, dict[str, float]]:
    """Scores of every region of two label maps on one grid.

    Raises:
        BadInputError: If the grids differ.
    """
    if not same_grid(prediction.grid, reference.grid):
        raise BadInputError(
            f"The label maps {prediction.name or 'predicted'} and {reference.name} "
            "lie on different grids."
        )
    return {
        region: score_region(
            np.isin(prediction.array, list(values)),
            np.isin(reference.array, list(values)),
            reference.spacing,
            tolerance_mm,
        ).as_dict()
        for region, values in regions.items()
    }


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
                "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
                "median": float(np.median(values)),
            }
    return summary


def write_results(result: Mapping[str, Any], folder: Path) -> None:
    """`metrics.json` with everything and `metrics.csv` with a line per case and region."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
            columns = ["dice", "hd95_mm", "surface_dice", "lesion_f1"]
            columns += ["volume_ml", "reference_volume_ml", "volume_error_ml"]
            writer = csv.writer(file)
            writer.writerow(["case", "region", *columns])
            for case, regions in result["cases"].items():
                for region, scores in regions.items():
                    writer.writerow([case, region, *(f"{scores[c]:.4f}" for c in columns)])
    except OSError as error:
        raise BadInputError(
            f"The results cannot be written to {folder}: {error.strerror}."
        ) from error


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


def folder_predictor(folder: str | Path) -> Predictor:
    """Reads label maps made elsewhere, `<case>.nii.gz` in `folder`."""

    def predict(case: Case) -> Scan:
        for suffix in (".nii.gz", ".nii", ".nrrd", ".mha"):
            path = Path(folder) / f"{case.name}{suffix}"
            if path.is_file():
                return read_scan(path)
        raise BadInputError(f"The folder {folder} has no label map of the case {case.name}.")

    return predict


def model_predictor(
    segmenter: Segmenter, tta: bool | None = None, keep: Path | None = None
) -> Predictor:
    """Segments cases as users would.

    Args:
        segmenter: The loaded model.
        tta: Mirror at test time; None as the model says.
        keep: Folder for the label maps.
    """

    def predict(case: Case) -> Scan:
        scans, _ = model_inputs(segmenter, case)
        options = RunOptions(mirroring=tta)
        found = segmenter.segment(scans, next(iter(scans)), options).labelmap
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            write_nifti(found, keep / f"{case.name}.nii.gz")
        return found

    return predict


def model_inputs(segmenter: Segmenter, case: Case) -> tuple[dict[str, Scan], Scan]:
    """A case's scans by the model's channel names, and its label.

    The first scan is the reference: the model's first channel on the grid of the label, if any
    lies on it.
    """
    names = [channel.name for channel in segmenter.bundle.description.channels]
    found = read_channels(case)
    if len(found) != len(names):
        raise BadInputError(
            f"The case {case.name} has {len(found)} channels, but the model "
            f"{segmenter.bundle.description.name} takes {len(names)}."
        )
    scans, label = dict(zip(names, found, strict=True)), read_scan(case.label)
    grid = label.grid
    first = next((n for n in names if same_grid(scans[n].grid, grid)), names[0])
    return {first: scans.pop(first), **scans}, label
