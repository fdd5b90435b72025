"""How well masks agree, and what empty ones count."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.training.evaluation.metrics import WORST_HD95_MM, lesion_f1, score_region

MM = (1.0, 1.0, 1.0)


def box(*bounds: tuple[int, int], shape=(20, 20, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*b) for b in bounds)] = True
    return mask


def test_a_perfect_segmentation_scores_perfectly():
    mask = box((3, 9), (4, 12), (5, 8))
    scores = score_region(mask, mask, MM)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice, scores.lesion_f1) == (1, 0, 1, 1)
    assert scores.volume_error_ml == 0


def test_a_shifted_box_scores_what_geometry_says():
    reference, prediction = box((4, 14), (4, 14), (4, 14)), box((6, 16), (4, 14), (4, 14))
    scores = score_region(prediction, reference, (2.0, 1.0, 1.0), tolerance_mm=1.0)
    assert scores.dice == pytest.approx(0.8)
    assert scores.hd95_mm == pytest.approx(4.0)
    assert scores.volume_ml == pytest.approx(2.0)
    assert 0 < scores.surface_dice < 1


def test_surfaces_within_the_tolerance_count_as_equal():
    reference, prediction = box((4, 14), (4, 14), (4, 14)), box((5, 14), (4, 14), (4, 14))
    assert score_region(prediction, reference, MM, tolerance_mm=1.0).surface_dice == 1.0
    assert score_region(prediction, reference, MM, tolerance_mm=0.5).surface_dice < 1.0


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_is_the_worst_result(swap):
    pair = [np.zeros((20, 20, 20), bool), box((1, 3), (1, 3), (1, 3))]
    scores = score_region(*(reversed(pair) if swap else pair), MM)
    assert (scores.dice, scores.surface_dice, scores.lesion_f1) == (0, 0, 0)
    assert scores.hd95_mm == WORST_HD95_MM


def test_two_empty_masks_agree_perfectly():
    empty = np.zeros((5, 5, 5), bool)
    scores = score_region(empty, empty, MM)
    assert (scores.dice, scores.hd95_mm, scores.surface_dice, scores.lesion_f1) == (1, 0, 1, 1)


def test_lesions_are_counted_one_by_one():
    reference = box((1, 3), (1, 3), (1, 3)) | box((8, 10), (8, 10), (8, 10))
    prediction = box((2, 4), (2, 4), (2, 4)) | box((15, 17), (1, 3), (1, 3))
    # one found, one missed, one false
    assert lesion_f1(prediction, reference) == pytest.approx(0.5)
