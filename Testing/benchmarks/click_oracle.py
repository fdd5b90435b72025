"""What clicks could reach at best: users whose every click repairs a whole piece, the best level.

An oracle knows the truth. Its clicks repair the largest connected pieces of what is wrong, each
wholly, all of it or only what lies deeper than 1 or 2 mm from the true border. Its level is the
threshold of a case's map with the highest Dice, alone and beside what real clicks changed. No
answer to clicks that repairs pieces, or that shifts a case's border, does better. Run, in Testing:

    PYTHONPATH=../FactorizerSegmentation:. \\
        python -m benchmarks.click_oracle DATA MODEL REGION CASE...

DATA is a training configuration, the folder of a run or of a dataset.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cc3d
import numpy as np

from benchmarks.remaining_errors import CLICKS, Corrected, corrected, depth_in
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.metrics import region_dice
from factorizer_engine.training.evaluation.predictors import ModelPredictor

LEVELS = np.arange(0.1, 0.91, 0.05)
DEEPER_MM = (0.0, 1.0, 2.0)


def repaired(
    mask: np.ndarray, truth: np.ndarray, spacing: Sequence[float], deeper: float, pieces: int | None
) -> np.ndarray:
    """The mask after its largest wrong pieces were put right.

    Args:
        mask, truth: Booleans on one grid.
        spacing: Of its voxels, in mm.
        deeper: Only what lies farther than this from the true border is wrong, in mm.
        pieces: So many of them (6 neighbours); None repairs all.
    """
    wrong = (mask != truth) & (depth_in(truth, spacing) > deeper)
    labels = cc3d.connected_components(wrong, connectivity=6)
    sizes = np.bincount(labels.ravel())[1:]
    largest = 1 + np.argsort(-sizes, kind="stable")[:pieces]
    return np.where(np.isin(labels, largest), truth, mask)


def at_best_level(
    probability: np.ndarray,
    truth: np.ndarray,
    start: np.ndarray,
    now: np.ndarray,
    threshold: float,
) -> tuple[float, float]:
    """The highest Dice of any level, and that level.

    Only voxels between a level and the threshold change; those that clicks changed stay, and so do
    small pieces that were removed.

    Args:
        probability: Of the region.
        truth, start, now: Booleans on its grid: what is true, found, and found after clicks.
        threshold: With which the start was found.
    """
    clicked, above = start != now, probability > threshold
    found = []
    for level in (threshold, *LEVELS.tolist()):
        stays = clicked | (above == (probability > level))
        found.append((region_dice(np.where(stays, now, ~above), truth), level))
    return max(found, key=lambda one: one[0])


def measure(case: Corrected, threshold: float) -> list:
    """By number of clicks Dice and what errors take; oracles from none; best levels by clicks."""
    truth, start = case.truth, case.masks[0]
    oracle = [
        [
            region_dice(repaired(start, truth, case.spacing, deeper, pieces), truth)
            for pieces in (3, 5, None)
        ]
        for deeper in DEEPER_MM
    ]
    levels = [at_best_level(case.probability, truth, start, now, threshold) for now in case.masks]
    return [case.figures, oracle, levels]


def _table(head: str, rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    print(f"| {head} |", "|---" * (head.count("|") + 1) + "|", sep="\n")
    for name, row in rows:
        print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in row)} |")


def main(data: str, model: str, region: str, cases: Sequence[str]) -> int:
    """Print the tables: means over the cases."""
    predictor = ModelPredictor(Segmenter(resolve_model(model, "cpu"), "cpu"))
    threshold = predictor.segmenter.bundle.inference.threshold
    dataset, found = select_cases(data, cases), []
    for case in dataset.cases:
        after = corrected(predictor, case, region, dataset.regions[region])
        found.append(measure(after, threshold))
        print(case.name, *(np.round(part, 3).tolist() for part in found[-1]), flush=True)
    real, oracle, levels = (np.mean(parts, axis=0) for parts in zip(*found, strict=True))
    names = [str(count) for count in CLICKS]
    _table(
        "clicks | Dice | lost within 1 mm | 1 to 2 mm | deeper | at the best level",
        [(n, [*r, b[0]]) for n, r, b in zip(names, real, levels, strict=True)],
    )
    _table(
        "pieces repaired, deeper than | the largest 3 | 5 | all",
        [(f"{d:g} mm", row) for d, row in zip(DEEPER_MM, oracle, strict=True)],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
