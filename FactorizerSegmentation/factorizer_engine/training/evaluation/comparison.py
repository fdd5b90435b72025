"""Is one model better than another? Paired bootstrap over cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.metrics import METRICS


@dataclass(frozen=True)
class Difference:
    """Mean of B minus A over the common cases, with a 95 % percentile-bootstrap interval.

    `region` is "mean" where a case's score is the mean over all regions.
    """

    region: str
    metric: str
    cases: int
    first: float
    second: float
    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def compare(
    first: Mapping[str, Any], second: Mapping[str, Any], resamples: int = 10_000, seed: int = 42
) -> list[Difference]:
    """Compare two evaluation results (see `evaluation.evaluate`) on the cases that both have.

    Cases, not voxels, are drawn with replacement, the same ones for both models. Beside the common
    regions there is their "mean".

    Raises:
        BadInputError: If fewer than two cases or no region is common.
    """
    common = sorted(set(first["cases"]) & set(second["cases"]))
    regions = [r for r in first["summary"] if r in second["summary"]]
    if len(common) < 2 or not regions:
        raise BadInputError("The two evaluations have fewer than two cases or no region in common.")
    groups = {region: [region] for region in regions}
    if len(regions) > 1:
        groups["mean"] = regions
    differences = []
    for name, members in groups.items():
        for metric in METRICS:
            a, b = (_scores(result, common, members, metric) for result in (first, second))
            first_mean, second_mean, mean = (float(x.mean()) for x in (a, b, b - a))
            low, high = interval_of_mean(b - a, resamples, seed)
            differences.append(
                Difference(name, metric, len(common), first_mean, second_mean, mean, low, high)
            )
    return differences


def interval_of_mean(
    differences: np.ndarray, resamples: int = 10_000, seed: int = 42
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of paired differences (cases,)."""
    count = len(differences)
    draws = np.random.default_rng(seed).integers(count, size=(resamples, count))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _scores(
    result: Mapping[str, Any], cases: Sequence[str], regions: Sequence[str], metric: str
) -> np.ndarray:
    """One score per case, the mean over the regions."""
    scores = [[result["cases"][case][region][metric] for region in regions] for case in cases]
    return np.mean(scores, axis=1)
