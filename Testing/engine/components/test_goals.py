"""Which goals of a proof are met."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factorizer_engine.components.goals import GOALS
from factorizer_engine.components.trial import Trial

FIGURES = {
    "component deletion AUC, in turn": -2.0,
    "component deletion AUC, as listed": -2.0,
    "component deletion AUC, Grad-CAM": -1.0,
    "component deletion AUC, integrated gradients": -1.0,
    "component deletion AUC, random": 0.0,
    "voxel deletion AUC, zero, evidence": 1.0,
    "voxel deletion AUC, zero, Grad-CAM": 2.0,
    "voxel deletion AUC, zero, integrated gradients": 2.0,
    "voxel deletion AUC, scans, first component's evidence": 1.0,
    "voxel deletion AUC, scans, Grad-CAM": 2.0,
    "voxel deletion AUC, scans, integrated gradients": 2.0,
    "Dice with WT, best component's evidence": 0.7,
    "correlation after shift by 8 voxels, first component": 0.95,
    "correlation after shift by 8 voxels, median of 6": 0.95,
    "correlation after random weights, first component": -0.1,
    "correlation after random weights, median of 6": 0.1,
}
GOOD = Trial("case", "WT", "decoder.2.0", "Decoder 3, component 4", FIGURES, {})


def missed(*trials: Trial) -> list[list[bool]]:
    return [met for goal in GOALS if not all(met := goal.met(trials))]


def worse(**changes: float) -> Trial:
    return replace(GOOD, figures={**FIGURES, **changes})


def test_all_goals_can_be_met():
    assert missed(GOOD, GOOD) == []


@pytest.mark.parametrize(
    ("figure", "value", "count"),
    [
        ("component deletion AUC, in turn", 0.5, 3),
        ("component deletion AUC, as listed", 0.5, 3),
        ("component deletion AUC, random", -2.5, 2),
        ("component deletion AUC, Grad-CAM", -2.5, 2),
        ("component deletion AUC, integrated gradients", -2.5, 2),
        ("voxel deletion AUC, zero, Grad-CAM", 1.0, 1),
        ("voxel deletion AUC, zero, integrated gradients", 0.9, 1),
        ("voxel deletion AUC, scans, Grad-CAM", 0.9, 1),
        ("voxel deletion AUC, scans, integrated gradients", 0.9, 1),
        ("correlation after shift by 8 voxels, median of 6", 0.89, 1),
        ("correlation after random weights, first component", -0.8, 1),
    ],
)
def test_a_goal_is_missed_by_the_case_that_falls_behind(figure, value, count):
    assert missed(GOOD, worse(**{figure: value})) == [[True, False]] * count


def test_the_median_case_decides_on_the_place():
    astray = worse(**{"Dice with WT, best component's evidence": 0.3})
    assert missed(GOOD, astray, GOOD) == []
    assert missed(astray, astray, GOOD) == [[False, False, False]]
