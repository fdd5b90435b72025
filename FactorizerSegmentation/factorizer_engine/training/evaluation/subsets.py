"""How a model does without some of its sequences: Dice with every part of its channels."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.models import Subset
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.comparison import interval_of_mean
from factorizer_engine.training.evaluation.predictors import ModelPredictor
from factorizer_engine.training.evaluation.scoring import dice_on, mean_and_deviation


def measure_subsets(
    predictor: ModelPredictor,
    dataset: Dataset,
    output: str | Path,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Dice of every region of every case with every part of the channels; writes JSON and CSV.

    The scans that are left take the way of any user's files through the segmenter, on the grid of
    the first of them. Its label map is brought onto the grid of the reference label (nearest
    voxel). Regions that a part of the channels cannot show are not scored with it.

    Args:
        predictor: A model that accepts every part (`open_model` with `needs`).
        dataset: The cases and their regions.
        output: Folder for `subsets.json` and `subsets.csv`.
        monitor: Told about every case and part.

    Returns:
        {"note", "model", "cases": [case], "channels": [channel], "regions": [region], "subsets":
        [{"channels": [channel], "dice": {case: {region: value}}, "mean": {region: value}, "sd":
        {region: value}, "difference": {region: {"mean", "low", "high"}}}]}; the first entry has all
        channels, and differences are to it, paired, with a 95 % percentile-bootstrap interval.

    Raises:
        BadInputError: If a case does not fit the model.
    """
    monitor = monitor or Monitor()
    painted = predictor.painted(dataset.regions)
    model = predictor.segmenter.bundle.description
    scores: list[dict[str, dict[str, float]]] = [{} for _ in model.subsets]
    steps = len(dataset.cases) * len(model.subsets)
    for number, case in enumerate(dataset.cases):
        scans, label = predictor.inputs(case)
        for index, subset in enumerate(model.subsets):
            title = " + ".join(subset.channels)
            done = (number * len(model.subsets) + index) / steps
            monitor.report(f"{case.name}, {title}", done)
            given = {name: scan for name, scan in scans.items() if name in subset.channels}
            found = predictor.segment(given, next(iter(given)))
            dice = dice_on(found, label, dataset, painted)
            seen = {region: value for region, value in dice.items() if region in subset.regions}
            scores[index][case.name] = seen
    result = {
        "note": predictor.note,
        "model": predictor.model,
        "cases": [case.name for case in dataset.cases],
        "channels": [channel.name for channel in model.channels],
        "regions": list(dataset.regions),
        "subsets": [
            {
                "channels": list(subset.channels),
                "dice": scores[index],
                **mean_and_deviation(scores[index]),
                "difference": _differences(scores[0], scores[index]),
            }
            for index, subset in enumerate(model.subsets)
        ],
    }
    _write(result, Path(output))
    return result


def told_by(
    result: Mapping[str, Any], seen_from: float, known: AbstractSet[str] = frozenset()
) -> tuple[Subset, ...]:
    """What a model's description tells of its subsets, from `measure_subsets`.

    Args:
        seen_from: Mean Dice from which a region counts as seen; with all channels all are.
        known: Cases that training, or the choice of weights, has used.
    """
    cases = result["cases"]
    subsets = []
    for entry in result["subsets"]:
        everything = len(entry["channels"]) == len(result["channels"])
        seen = [r for r, dice in entry["mean"].items() if everything or dice >= seen_from]
        rounded = {region: round(dice, 3) for region, dice in entry["mean"].items()}
        channels, unseen = tuple(entry["channels"]), known.isdisjoint(cases)
        subsets.append(Subset(channels, tuple(seen), rounded, len(cases), unseen))
    return tuple(subsets)


def _differences(
    whole: Mapping[str, Mapping[str, float]], part: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    found = {}
    for region in next(iter(part.values())):
        paired = np.array([part[case][region] - whole[case][region] for case in part])
        low, high = interval_of_mean(paired)
        found[region] = {"mean": float(paired.mean()), "low": low, "high": high}
    return found


def _write(result: Mapping[str, Any], folder: Path) -> None:
    write_json(folder / "subsets.json", result)
    rows = [
        ["+".join(entry["channels"]), case, region, f"{value:.4f}"]
        for entry in result["subsets"]
        for case, regions in entry["dice"].items()
        for region, value in regions.items()
    ]
    write_csv(folder / "subsets.csv", [["channels", "case", "region", "dice"], *rows])
