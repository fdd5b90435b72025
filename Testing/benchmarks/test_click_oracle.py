"""The oracle of clicks repairs what it says, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.click_oracle import at_best_level, repaired
from factorizer_engine.training.evaluation.metrics import region_dice


@pytest.fixture
def truth() -> np.ndarray:
    box = np.zeros((20, 20, 20), dtype=bool)
    box[4:16, 4:16, 4:16] = True
    return box


def test_an_ideal_click_repairs_the_largest_piece_alone(truth):
    mask = truth.copy()
    mask[8:12, 8:12, 8:12] = False
    mask[0, 0, 0] = True
    once = repaired(mask, truth, (1.0, 1.0, 1.0), deeper=0.0, pieces=1)
    assert np.argwhere(once != truth).tolist() == [[0, 0, 0]]
    assert np.array_equal(repaired(mask, truth, (1.0, 1.0, 1.0), deeper=0.0, pieces=None), truth)


def test_what_lies_at_the_border_stays_wrong_where_only_deeper_errors_are_repaired(truth):
    mask = np.roll(truth, 2, axis=0)
    better = repaired(mask, truth, (1.0, 1.0, 1.0), deeper=1.0, pieces=None)
    across = (..., 10, 10)
    assert np.flatnonzero(mask[across] != truth[across]).tolist() == [4, 5, 16, 17]
    assert np.flatnonzero(better[across] != truth[across]).tolist() == [4, 16]


def test_the_best_level_keeps_what_clicks_changed_and_what_was_removed(truth):
    probability = np.where(truth, 0.3, 0.05)
    probability[19, 19, 19] = 0.9  # a piece that was too small
    start = np.zeros_like(truth)
    assert at_best_level(probability, truth, start, start, 0.5)[0] == 1.0
    clicked = start.copy()
    clicked[0, 0, :5] = True
    assert at_best_level(probability, truth, start, clicked, 0.5)[0] < 1.0


def test_where_no_level_is_better_the_threshold_stays(truth):
    probability = np.where(np.roll(truth, 1, axis=0), 0.95, 0.05)
    found = probability > 0.5
    assert at_best_level(probability, truth, found, found, 0.5) == (region_dice(found, truth), 0.5)
