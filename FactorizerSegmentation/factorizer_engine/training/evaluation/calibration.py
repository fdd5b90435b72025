"""Whether probabilities are what they say: of all voxels with 0.8, do eight in ten belong?

Guo et al., On calibration of modern neural networks, ICML 2017 (arXiv:1706.04599): reliability
diagrams and the expected calibration error (section 2), temperature scaling (section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import lesion_voxels
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.predictors import ModelPredictor

if TYPE_CHECKING:
    from factorizer_engine.inference.result import SegmentationResult

BINS = 10
DOUBTED_FROM = 0.05
"""Voxels below this probability are left out: nearly all of a head, and nobody reads theirs."""

_STEPS = 1000
_TEMPERATURES = (0.2, 5.0)


def measure_calibration(
    predictor: ModelPredictor,
    dataset: Dataset,
    output: str | Path,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """How often voxels of each probability belong to a region; writes JSON and CSV.

    Args:
        predictor: The model.
        dataset: The cases and their regions.
        output: Folder for `calibration.json` and `calibration.csv`.
        monitor: Told about every case.

    Returns:
        {"note", "model", "cases": [case], "doubted_from", "regions": {region: {"bins": [{"from",
        "to", "voxels", "probability", "belonging"}], "error", "error_of_case": {case: value},
        "temperature", "error_with_temperature"}}, "rows": [{"case", "class", "volume_ml",
        "probability", "belonging"}]}. The rows are those of the lesion list: the mean probability
        of a class in a lesion, and the share of its voxels that are of that class. The error is the
        expected calibration error; the bins are those of all cases' voxels together, and the
        temperature (1 leaves probabilities as they are, more draws them towards one half) is the
        one that fits these very cases best.

    Raises:
        BadInputError: If a case does not fit the model, or a scan lies beside the label's grid.
    """
    monitor = monitor or Monitor()
    counts: dict[str, dict[str, np.ndarray]] = {region: {} for region in dataset.regions}
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(dataset.cases):
        monitor.report(case.name, number / len(dataset.cases))
        scans, label = predictor.inputs(case)
        reference = next(iter(scans))
        if not same_grid(scans[reference].grid, label.grid):
            raise BadInputError(
                f"No scan of {case.name} lies on the grid of its label, so probabilities cannot be "
                "compared voxel by voxel."
            )
        result = predictor.result(scans, reference)
        known = np.ones(label.shape, bool)
        if dataset.ignore is not None:
            known = label.array != dataset.ignore
        for region, probability in zip(result.model.regions, result.probabilities, strict=True):
            if region.name in dataset.regions:
                belongs = np.isin(label.array, dataset.regions[region.name])
                counts[region.name][case.name] = count(probability[known], belongs[known])
        rows += [{"case": case.name, **row} for row in _rows(result, label, dataset)]
    found = {
        "note": predictor.note,
        "model": predictor.model,
        "cases": [case.name for case in dataset.cases],
        "doubted_from": DOUBTED_FROM,
        "regions": {region: _summary(of_case) for region, of_case in counts.items() if of_case},
        "rows": rows,
    }
    _write(found, Path(output))
    return found


def _rows(result: SegmentationResult, label: Scan, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Of every class in every lesion how likely it is said to be, and how much of it is right."""
    values = dataset.regions
    regions = {region.label: region for region in result.model.regions if region.name in values}
    lesions = lesion_voxels(result.labelmap.array, result.model.labels)
    for lesion, voxels in zip(result.lesions, lesions, strict=True):
        found = result.labelmap.array[tuple(voxels.T)]
        true = label.array[tuple(voxels.T)]
        for part in lesion.parts:
            region = regions.get(part.label)
            if region is None:
                continue
            inner = {v for r in regions.values() if r.lies_in(region) for v in values[r.name]}
            own = sorted({*values[region.name]} - inner)
            known = true[(found == part.label) & (true != dataset.ignore)]
            if not len(known):
                continue
            yield {
                "class": part.name,
                "volume_ml": part.volume_ml,
                "probability": part.mean_probability,
                "belonging": float(np.isin(known, own).mean()),
            }


def count(probabilities: np.ndarray, belongs: np.ndarray) -> np.ndarray:
    """Voxels of each probability that do not belong, and that do: (2, 1000), in equal steps."""
    doubted = probabilities >= DOUBTED_FROM
    steps = np.minimum((probabilities[doubted] * _STEPS).astype(int), _STEPS - 1)
    belonging = belongs[doubted]
    return np.stack(
        [np.bincount(steps[belonging == right], minlength=_STEPS) for right in (False, True)]
    )


def calibration_error(counts: np.ndarray, temperature: float = 1.0) -> float:
    """Expected calibration error (equation 3 of the paper) of `counts`; 0 without voxels."""
    entries = reliability(counts, temperature)
    voxels = sum(entry["voxels"] for entry in entries)
    gaps = (abs(e["probability"] - e["belonging"]) * e["voxels"] for e in entries if e["voxels"])
    return sum(gaps) / voxels if voxels else 0.0


def reliability(counts: np.ndarray, temperature: float = 1.0) -> list[dict[str, Any]]:
    """The reliability diagram of `counts`, probabilities scaled by a temperature.

    Returns:
        For every tenth of the probabilities "from", "to", "voxels", and without voxels None for
        their mean "probability" and the share "belonging".
    """
    scaled = _scaled(temperature)
    bins = np.minimum((scaled * BINS).astype(int), BINS - 1)
    entries = []
    for index in range(BINS):
        inside = counts[:, bins == index]
        voxels = int(inside.sum())
        mean = (inside.sum(0) @ scaled[bins == index]) / voxels if voxels else None
        entries.append(
            {
                "from": index / BINS,
                "to": (index + 1) / BINS,
                "voxels": voxels,
                "probability": mean,
                "belonging": int(inside[1].sum()) / voxels if voxels else None,
            }
        )
    return entries


def best_temperature(counts: np.ndarray) -> float:
    """The temperature with the least cross entropy (section 4.2 of the paper)."""

    def cross_entropy(log_temperature: float) -> float:
        scaled = _scaled(float(np.exp(log_temperature)))
        return float(-(counts[0] @ np.log(1 - scaled) + counts[1] @ np.log(scaled)))

    fit = minimize_scalar(cross_entropy, bounds=np.log(_TEMPERATURES), method="bounded")
    return float(np.exp(fit.x))


def _scaled(temperature: float) -> np.ndarray:
    """The middle of every step of the probabilities, scaled; (1000,)."""
    return expit(logit((np.arange(_STEPS) + 0.5) / _STEPS) / temperature)


def _summary(of_case: dict[str, np.ndarray]) -> dict[str, Any]:
    together = np.sum(list(of_case.values()), axis=0)
    temperature = best_temperature(together)
    return {
        "bins": reliability(together),
        "error": calibration_error(together),
        "error_of_case": {case: calibration_error(counts) for case, counts in of_case.items()},
        "temperature": temperature,
        "error_with_temperature": calibration_error(together, temperature),
    }


def _write(found: dict[str, Any], folder: Path) -> None:
    write_json(folder / "calibration.json", found)
    rows = [
        [region, *map(_cell, entry.values())]
        for region, summary in found["regions"].items()
        for entry in summary["bins"]
    ]
    titles = ["region", "from", "to", "voxels", "mean probability", "share that belongs"]
    write_csv(folder / "calibration.csv", [titles, *rows])


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
