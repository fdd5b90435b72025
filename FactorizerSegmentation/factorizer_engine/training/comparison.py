"""Is one model better than another? Paired bootstrap over cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from factorizer_engine.errors import BadInputError
from factorizer_engine.training.metrics import METRICS


@dataclass(frozen=True)
class Difference:
    """Mean of B minus A over the common cases, with a 95 % percentile-bootstrap interval."""

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

    Cases, not voxels, are drawn with replacement, the same ones for both models.

    Raises:
        BadInputError: If fewer than two cases or no region is common.
    """
    common = sorted(set(first["cases"]) & set(second["cases"]))
    regions = [r for r in first["summary"] if r in second["summary"]]
    if len(common) < 2 or not regions:
        raise BadInputError("The two evaluations have fewer than two cases or no region in common.")
    draws = np.random.default_rng(seed).integers(len(common), size=(resamples, len(common)))
    differences = []
    for region in regions:
        for metric in METRICS:
            a, b = (
                np.array([result["cases"][case][region][metric] for case in common])
                for result in (first, second)
            )
            low, high = np.percentile((b - a)[draws].mean(axis=1), [2.5, 97.5])
            differences.append(
                Difference(
                    region,
                    metric,
                    len(common),
                    *(float(x) for x in (a.mean(), b.mean(), (b - a).mean(), low, high)),
                )
            )
    return differences
