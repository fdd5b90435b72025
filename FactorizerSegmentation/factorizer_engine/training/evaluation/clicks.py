"""How much a simulated user gains by clicks: Dice after some of them, and how many are needed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import Guide, NetworkGuide, RegressionGuide
from factorizer_engine.interaction.users import next_stroke
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_csv, write_json
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.local_thresholds import LocalThresholdGuide
from factorizer_engine.training.evaluation.metrics import region_dice
from factorizer_engine.training.evaluation.predictors import ModelPredictor
from factorizer_engine.training.evaluation.random_walker import (
    RandomWalkerGuide,
    has_random_walker,
)
from factorizer_engine.training.evaluation.region_growing import RegionGrowingGuide

COUNTS = (0, 1, 2, 3, 5, 10)
"""Numbers of clicks after which Dice is told."""

GOALS = (0.85, 0.90)
"""Dice for which the clicks are counted."""


def measure_clicks(
    predictor: ModelPredictor,
    dataset: Dataset,
    output: str | Path,
    monitor: Monitor | None = None,
    from_nothing: bool = False,
) -> dict[str, Any]:
    """Dice of every region after clicks of one simulated user; writes JSON and CSV.

    Each region of a case is corrected alone, from what the model finds: the user always clicks in
    the middle of the largest error (`interaction.users`). The same user meets the model itself, if
    it reads clicks, the regression that answers them otherwise, the model's maps with thresholds of
    their own around clicks, a random walker, if scikit-image is installed, and, where there is one
    scan alone, region growing; these know nothing of clicks, and the last two nothing of the model.

    Args:
        predictor: The model.
        dataset: The cases and their regions.
        output: Folder for `clicks.json` and `clicks.csv`.
        from_nothing: Whether users begin with nothing in place of what the model finds.
        monitor: Told about every case.

    Returns:
        {"note", "model", "cases": [case], "regions": [region], "counts": [clicks], "methods":
        {method: {"dice": {case: {region: [value after each number of clicks, from 0]}}, "mean":
        {region: [value by count]}, "needed": {region: {goal: [median clicks, part of the cases that
        reach it in 10]}}, "seconds": mean of a click}}}.

    Raises:
        BadInputError: If a case does not fit the model.
    """
    monitor = monitor or Monitor()
    guides = guides_for(predictor)
    dice: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in guides}
    seconds: dict[str, list[float]] = {name: [] for name in guides}
    for number, case in enumerate(dataset.cases):
        scans, label = predictor.inputs(case)
        result = predictor.result(scans, next(iter(scans)))
        for place, (name, guide) in enumerate(guides.items()):
            done = (number + place / len(guides)) / len(dataset.cases)
            monitor.report(f"{case.name}, {name}", done)
            threshold = predictor.segmenter.bundle.inference.threshold
            users = SimulatedUsers(result, label, threshold, guide, from_nothing)
            dice[name][case.name] = {
                region: users.correct(region, values) for region, values in dataset.regions.items()
            }
            seconds[name] += users.seconds
    found = {
        "note": predictor.note + (", from nothing" if from_nothing else ""),
        "model": predictor.model,
        "cases": [case.name for case in dataset.cases],
        "regions": list(dataset.regions),
        "counts": list(COUNTS),
        "methods": {
            name: {
                "dice": cases,
                **_summary(cases, list(dataset.regions)),
                "seconds": round(mean(seconds[name]), 3) if seconds[name] else None,
            }
            for name, cases in dice.items()
        },
    }
    _write(found, Path(output))
    return found


def guides_for(predictor: ModelPredictor) -> dict[str, Guide]:
    """The methods that are compared, by their names."""
    guides: dict[str, Guide] = {}
    if predictor.segmenter.bundle.prompts is not None:
        guides["network"] = NetworkGuide(predictor.segmenter)
    if not predictor.segmenter.bundle.description.by_clicks:
        guides["regression"] = RegressionGuide()
        guides["local thresholds"] = LocalThresholdGuide()
    if has_random_walker():
        guides["random walker"] = RandomWalkerGuide()
    if len(predictor.segmenter.bundle.description.channels) == 1:
        guides["region growing"] = RegionGrowingGuide()
    return guides


class SimulatedUsers:
    """Simulated users of one case, who correct one region each.

    Attributes:
        seconds: That each click took to be answered, by the clock.
        processor_seconds: The same, of the processor.
    """

    def __init__(
        self,
        result: SegmentationResult,
        label: Scan,
        threshold: float,
        guide: Guide,
        from_nothing: bool,
    ) -> None:
        if not same_grid(result.labelmap.grid, label.grid):
            raise BadInputError(
                f"The label {label.name} lies on another grid than the scans; clicks can only "
                "be simulated where both agree."
            )
        self._result, self._label = result, label
        self._threshold, self._guide = threshold, guide
        found = result.labelmap
        self._start = found.with_array(np.zeros_like(found.array)) if from_nothing else found
        self.seconds: list[float] = []
        self.processor_seconds: list[float] = []

    def correct(self, name: str, values: Sequence[int]) -> list[float]:
        """Dice of a region after 0, 1, ... clicks; the last value stays if nothing is wrong."""
        truth = np.isin(self._label.array, list(values))
        dice = [region_dice(mask, truth) for mask in self.masks(name, truth)]
        return dice + dice[-1:] * (COUNTS[-1] + 1 - len(dice))

    def masks(self, name: str, truth: np.ndarray) -> Iterator[np.ndarray]:
        """A region after 0, 1, ... clicks, at most as many as counted, until nothing is wrong.

        Args:
            name: Of the region.
            truth: Booleans on the grid of the result.
        """
        region, regions = self._region(name), self._result.model.regions
        correction = Correction(self._result, self._threshold, self._guide, self._start)
        for _ in range(COUNTS[-1]):
            mask = mask_of(correction.labelmap.array, region, regions)
            yield mask
            stroke = next_stroke(mask, truth, 0, self._label.spacing)
            if stroke is None:
                return
            affine = correction.labelmap.affine
            points = stroke.points @ affine[:3, :3].T + affine[:3, 3]
            click = Click(name, tuple(map(tuple, points.tolist())), stroke.add)
            began, worked = time.perf_counter(), time.process_time()
            correction.answer(click)
            self.processor_seconds.append(time.process_time() - worked)
            self.seconds.append(time.perf_counter() - began)
        yield mask_of(correction.labelmap.array, region, regions)

    def _region(self, name: str) -> Region:
        return next(region for region in self._result.model.regions if region.name == name)


def users_of(
    predictor: ModelPredictor, result: SegmentationResult, label: Scan, guide: Guide
) -> SimulatedUsers:
    """Users of a result who begin as people do: with nothing where it answers clicks alone."""
    bundle = predictor.segmenter.bundle
    threshold, by_clicks = bundle.inference.threshold, bundle.description.by_clicks
    return SimulatedUsers(result, label, threshold, guide, from_nothing=by_clicks)


def _summary(
    cases: Mapping[str, Mapping[str, Sequence[float]]], regions: Sequence[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {"mean": {}, "needed": {}}
    for region in regions:
        courses = np.array([case[region] for case in cases.values()])
        found["mean"][region] = courses[:, list(COUNTS)].mean(axis=0).tolist()
        found["needed"][region] = {}
        for goal in GOALS:
            reached = courses >= goal
            first = np.where(reached.any(axis=1), reached.argmax(axis=1), COUNTS[-1] + 1)
            part = float(reached.any(axis=1).mean())
            found["needed"][region][f"{goal:.2f}"] = [float(median(first.tolist())), part]
    return found


def _write(result: Mapping[str, Any], folder: Path) -> None:
    write_json(folder / "clicks.json", result)
    rows = [
        [method, case, region, str(count), f"{course[count]:.4f}"]
        for method, entry in result["methods"].items()
        for case, regions in entry["dice"].items()
        for region, course in regions.items()
        for count in range(len(course))
    ]
    write_csv(folder / "clicks.csv", [["method", "case", "region", "clicks", "dice"], *rows])
