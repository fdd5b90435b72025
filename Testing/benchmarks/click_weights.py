"""Fits what clicks say: the weights of `interaction.regression`, to simulated clicks.

A simulated user corrects every case, from what the model finds or from nothing, answered by the
model without any regression. Of every click some voxels are kept that are not as it wants, nearer
ones more often, with what the regression knows of them and whether the truth agrees with the click;
to these a weighted logistic regression is fitted, once for all clicks or apart for those that add
and that remove. Run, in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.click_weights DATA MODEL \
        [--apart] [--turned] [--clicks N] [--case NAME ...]

DATA is in nnU-Net layout; `--turned` adds every scan with its contrast turned around. The features
are those that have weights already. Cases that judge the model must not be among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.sliding_window import sigmoid_
from factorizer_engine.interaction.guides import NetworkGuide, Question, RegressionGuide
from factorizer_engine.interaction.regression import (
    MAPS,
    NETWORK_ADDS,
    NETWORK_REMOVES,
    features,
)
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.evaluation.clicks import COUNTS, users_of
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.predictors import ModelPredictor, open_model

_VOXELS = 1500
"""Of a click, at most."""

_REACH_MM = 40.0
_NEAR_MM = 3.0
"""Voxels are drawn with a probability like 1 / (this + their distance to the click)."""

_RIDGE = 1e-4
_STEPS = 12


@dataclass(frozen=True)
class Samples:
    """Voxels around clicks of one kind.

    Attributes:
        columns: (N, F), what is known of them.
        agrees: Booleans (N,): whether the truth is as the click wants it.
        weights: (N,), as large as a voxel was unlikely to be drawn; 1 for every click together.
    """

    columns: np.ndarray
    agrees: np.ndarray
    weights: np.ndarray

    @classmethod
    def together(cls, samples: Sequence[Samples]) -> Samples:
        """All of them as one."""
        return cls(
            np.concatenate([one.columns for one in samples]),
            np.concatenate([one.agrees for one in samples]),
            np.concatenate([one.weights for one in samples]),
        )


@dataclass
class Recorder:
    """A guide that answers without the regression, and keeps what that would have been told.

    Attributes:
        guide: Knows the surroundings of clicks.
        settings: How far the threshold is moved.
        names: The features to keep.
        truth: Booleans (X, Y, Z), where the region that is being corrected holds.
        seen: What was kept, by whether the click adds.
    """

    guide: NetworkGuide | RegressionGuide
    settings: LocalThreshold
    names: Sequence[str]
    generator: np.random.Generator
    truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), bool))
    seen: dict[bool, list[Samples]] = field(default_factory=lambda: {True: [], False: []})
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Those of the model."""
        around = self.guide.surroundings(question, monitor)
        asked = ~around.settled & (around.scans != 0).any(axis=0) & (around.distance <= _REACH_MM)
        if asked.any():
            drawn, weights = self._drawn(asked, around.distance)
            found = features(around, drawn)
            columns = np.stack([found[name] for name in self.names], axis=1)
            agrees = self.truth[question.box][drawn] == around.add
            self.seen[around.add].append(Samples(columns, agrees, weights))
        towards = around.towards if around.add else -around.towards
        return sigmoid_(towards + question.threshold)

    def _drawn(self, asked: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(asked)
        chances = 1 / (_NEAR_MM + distance.ravel()[places])
        chances /= chances.sum()
        if len(places) > _VOXELS:
            kept = self.generator.choice(len(places), _VOXELS, replace=False, p=chances)
            kept.sort()
            places, chances = places[kept], chances[kept]
        drawn = np.zeros(asked.size, dtype=bool)
        drawn[places] = True
        weights = 1 / np.sqrt(chances)
        return drawn.reshape(asked.shape), weights / weights.sum()


def fit(samples: Samples) -> np.ndarray:
    """Weights (F,) of a logistic regression, by damped Newton steps on standardised columns."""
    columns = samples.columns.astype(np.float64)
    share = samples.weights / samples.weights.sum()
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    constant = deviation < 1e-9
    mean[constant], deviation[constant] = 0, 1
    standard = (columns - mean) / deviation
    ridge = np.where(constant, 1e-9, _RIDGE)
    sign = np.where(samples.agrees, 1.0, -1.0)

    def loss(weights: np.ndarray) -> float:
        wrong = np.logaddexp(0, -sign * (standard @ weights))
        return float((share * wrong).sum() + 0.5 * (ridge * weights**2).sum())

    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        says = 1 / (1 + np.exp(-np.clip(standard @ found, -30, 30)))
        curvature = (standard * (share * says * (1 - says))[:, None]).T @ standard
        slope = standard.T @ (share * (samples.agrees - says)) - ridge * found
        step = np.linalg.solve(curvature + np.diag(ridge), slope)
        while loss(found + step) > loss(found) and np.abs(step).max() > 1e-6:
            step /= 2
        found = found + step
    weights = found / deviation
    ones = constant & (columns[0] != 0)  # a feature that is always 0 takes no part
    weights[ones] -= (weights * mean)[~constant].sum() / max(ones.sum(), 1)
    return weights


def collect(
    predictor: ModelPredictor,
    data: str,
    names: Sequence[str],
    cases: Sequence[str] = (),
    turned: bool = False,
    clicks: int = COUNTS[-1],
) -> dict[bool, Samples]:
    """Samples of the clicks of simulated users, by whether they add."""
    by_network = predictor.segmenter.bundle.prompts is not None
    guide = NetworkGuide(predictor.segmenter) if by_network else RegressionGuide()
    settings = guide.settings if by_network else LocalThreshold()
    recorder = Recorder(guide, settings, names, np.random.default_rng(0))
    dataset = select_cases(data, list(cases), "all")
    for case in dataset.cases:
        scans, label = predictor.inputs(case)
        for given in (scans, {name: _turned(scan) for name, scan in scans.items()})[: 1 + turned]:
            result = predictor.result(given, next(iter(given)))
            users = users_of(predictor, result, label, recorder)
            for region, values in dataset.regions.items():
                recorder.truth = np.isin(label.array, list(values))
                for _ in islice(users.masks(region, recorder.truth), clicks + 1):
                    pass  # the recorder sees every click
    return {add: Samples.together(seen) for add, seen in recorder.seen.items() if seen}


def _turned(scan: Scan) -> Scan:
    """The scan with what was bright dark; 0 stays what lies outside the head."""
    inside = scan.array != 0
    lowest, highest = np.percentile(scan.array[inside], [0, 99.5])
    span = highest - lowest
    turned = np.maximum(highest - scan.array, 0) + 0.001 * span
    return scan.with_array(np.where(inside, turned, 0).astype(np.float32))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--turned", action="store_true")
    parser.add_argument("--clicks", type=int, default=COUNTS[-1])
    parser.add_argument("--case", action="append", default=[])
    given = parser.parse_args(arguments)
    predictor = open_model(given.model, "cpu", "float32", None, (), None)
    names = list(dict.fromkeys([*NETWORK_ADDS, *NETWORK_REMOVES])) if given.apart else list(MAPS)
    samples = collect(predictor, given.data, names, given.case, given.turned, given.clicks)
    if not given.apart:
        samples = {True: Samples.together([*samples.values()])}
    for add, some in samples.items():
        print(("adds" if add else "removes") if given.apart else "all clicks")
        for name, weight in zip(names, fit(some), strict=True):
            print(f'    "{name}": {weight:.3f},')


if __name__ == "__main__":
    main()
