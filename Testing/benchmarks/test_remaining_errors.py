"""Errors are counted where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.remaining_errors import lost_by_depth
from factorizer_engine.training.evaluation.metrics import region_dice


def test_what_is_lost_at_all_depths_is_what_dice_lacks():
    truth = np.zeros((20, 20, 20), dtype=bool)
    truth[5:15, 5:15, 5:15] = True
    shifted, holed = np.roll(truth, 1, axis=0), truth.copy()
    holed[8:12, 8:12, 8:12] = False
    border = lost_by_depth(shifted, truth, (1.0, 1.0, 1.0))
    assert border == [pytest.approx(0.1), 0.0, 0.0]
    hole = lost_by_depth(holed, truth, (1.0, 1.0, 1.0))
    assert hole[:2] == [0.0, 0.0] and hole[2] > 0
    for mask, lost in ((shifted, border), (holed, hole)):
        assert sum(lost) == pytest.approx(1 - region_dice(mask, truth))
    assert lost_by_depth(shifted, truth, (3.0, 1.0, 1.0))[2] > 0
