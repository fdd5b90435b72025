"""Where what is still wrong after clicks lies: at the border, or deeper, in pieces.

A click repairs a piece; a border that runs half a voxel off all around it cannot repair. Run, in
Testing:

    PYTHONPATH=../FactorizerSegmentation:. \\
        python -m benchmarks.remaining_errors DATA MODEL REGION CASE...

DATA is a training configuration, the folder of a run or of a dataset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.training.data.dataset import Case
from factorizer_engine.training.evaluation.clicks import users_of
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.metrics import region_dice
from factorizer_engine.training.evaluation.predictors import ModelPredictor

CLICKS = (0, 3, 5)
DEPTHS_MM = (0.0, 1.0, 2.0, np.inf)
"""Between these distances to the border of the true region errors are counted."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """A region of one case before and after clicks.

    Attributes:
        truth: Booleans on the grid of the result.
        masks: The region after so many `CLICKS`; the last one where nothing was wrong any more.
        probability: Of the region, as the model found it.
        spacing: Of the voxels, in mm.
    """

    truth: np.ndarray
    masks: list[np.ndarray]
    probability: np.ndarray
    spacing: tuple[float, float, float]

    @property
    def figures(self) -> list[list[float]]:
        """By number of clicks, Dice and what errors by depth take, (CLICKS, 4)."""
        truth = self.truth
        return [[region_dice(m, truth), *lost_by_depth(m, truth, self.spacing)] for m in self.masks]


def corrected(
    predictor: ModelPredictor, case: Case, region: str, values: Sequence[int]
) -> Corrected:
    """What clicks of a simulated user make of a region, whose label has these values."""
    scans, label = predictor.inputs(case)
    result = predictor.result(scans, next(iter(scans)))
    truth = np.isin(label.array, list(values))
    users = users_of(predictor, result, label, guide_of(predictor.segmenter))
    masks = list(users.masks(region, truth))
    after = [masks[min(count, len(masks) - 1)] for count in CLICKS]
    number = [r.name for r in result.model.regions].index(region)
    return Corrected(truth, after, result.probabilities[number], label.spacing)


def depth_in(truth: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance (mm) of every voxel to the border of a region (booleans), from either side."""
    within, beyond = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (truth, ~truth))
    return np.where(truth, within, beyond)


def lost_by_depth(mask: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> list[float]:
    """What errors between two depths take from Dice, which is 1 less the sum of all.

    Args:
        mask, truth: Booleans on one grid.
        spacing: Of its voxels, in mm.
    """
    depth, wrong = depth_in(truth, spacing), mask != truth
    whole = max(np.count_nonzero(mask) + np.count_nonzero(truth), 1)
    return [
        np.count_nonzero(wrong & (depth > low) & (depth <= high)) / whole
        for low, high in pairwise(DEPTHS_MM)
    ]


def main(data: str, model: str, region: str, cases: Sequence[str]) -> int:
    """Print a table with a row a number of clicks."""
    predictor = ModelPredictor(Segmenter(resolve_model(model, "cpu"), "cpu"))
    dataset, found = select_cases(data, cases), []
    for case in dataset.cases:
        found.append(corrected(predictor, case, region, dataset.regions[region]).figures)
        print(case.name, *np.round(found[-1], 3).tolist(), flush=True)
    figures = np.mean(found, axis=0)
    print("| clicks | Dice | lost within 1 mm | 1 to 2 mm | deeper |", "|---" * 5 + "|", sep="\n")
    for count, row in zip(CLICKS, figures, strict=True):
        print(f"| {count} | {' | '.join(f'{figure:.3f}' for figure in row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
