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
from itertools import pairwise

import numpy as np
from scipy import ndimage

from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.clicks import SimulatedUsers
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.metrics import region_dice
from factorizer_engine.training.evaluation.predictors import ModelPredictor

CLICKS = (0, 3, 5)
DEPTHS_MM = (0.0, 1.0, 2.0, np.inf)
"""Between these distances to the border of the true region errors are counted."""


def lost_by_depth(mask: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> list[float]:
    """What errors between two depths take from Dice, which is 1 less the sum of all.

    Args:
        mask, truth: Booleans on one grid.
        spacing: Of its voxels, in mm.
    """
    within, beyond = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (truth, ~truth))
    depth, wrong = np.where(truth, within, beyond), mask != truth
    whole = max(np.count_nonzero(mask) + np.count_nonzero(truth), 1)
    return [
        np.count_nonzero(wrong & (depth > low) & (depth <= high)) / whole
        for low, high in pairwise(DEPTHS_MM)
    ]


def measure(predictor: ModelPredictor, dataset: Dataset, region: str) -> np.ndarray:
    """By case and number of clicks, Dice and what errors by depth take, (cases, CLICKS, 4)."""
    threshold = predictor.segmenter.bundle.inference.threshold
    guide, found = guide_of(predictor.segmenter), []
    for case in dataset.cases:
        scans, label = predictor.inputs(case)
        result = predictor.result(scans, next(iter(scans)))
        truth = np.isin(label.array, list(dataset.regions[region]))
        users = SimulatedUsers(result, label, threshold, guide, from_nothing=False)
        masks = list(users.masks(region, truth))
        after = [masks[min(count, len(masks) - 1)] for count in CLICKS]
        found.append(
            [[region_dice(m, truth), *lost_by_depth(m, truth, label.spacing)] for m in after]
        )
        print(case.name, *np.round(found[-1], 3).tolist(), flush=True)
    return np.array(found)


def main(data: str, model: str, region: str, cases: Sequence[str]) -> int:
    """Print a table with a row a number of clicks."""
    predictor = ModelPredictor(Segmenter(resolve_model(model, "cpu"), "cpu"))
    figures = measure(predictor, select_cases(data, cases), region).mean(axis=0)
    print("| clicks | Dice | lost within 1 mm | 1 to 2 mm | deeper |", "|---" * 5 + "|", sep="\n")
    for count, row in zip(CLICKS, figures, strict=True):
        print(f"| {count} | {' | '.join(f'{figure:.3f}' for figure in row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
