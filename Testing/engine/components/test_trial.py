"""A case put to the proof: every figure is there, and means what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.components.definition import Baseline
from factorizer_engine.components.orders import COUNTS
from factorizer_engine.components.saliency import PARTS
from factorizer_engine.components.scores import best_dice
from factorizer_engine.components.trial import try_case
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor


def truth(result) -> dict[str, Scan]:
    return {
        region.name: Scan((found > 0.6).astype(np.float32), result.labelmap.grid)
        for region, found in zip(tiny.REGIONS, result.probabilities, strict=True)
    }


@pytest.fixture(scope="module")
def trial(segmenter, result):
    return try_case(segmenter, result, "one", truth(result), "ET")


def test_the_order_of_contributions_lowers_the_logit_sooner_than_chance(trial):
    figures = trial.figures
    assert figures["spearman of the estimate, zero"] > 0.8
    for order in ("in turn", "as listed", "contribution by itself", "estimate", "step by step"):
        for what, sign in (("deletion", 1), ("insertion", -1)):
            name = f"component {what} AUC, {{}}"
            gain = figures[name.format("random")] - figures[name.format(order)]
            assert sign * gain > 0


def test_curves_begin_and_end_where_they_must(trial):
    deleted, inserted = (trial.curves[f"component {what}"] for what in ("deletion", "insertion"))
    whole = deleted["in turn"][0]
    for name, curve in deleted.items():
        assert len(curve) == len(inserted[name]) == len(COUNTS) + 1
        assert curve[0] == pytest.approx(whole, abs=1e-4)
        assert curve[0] == pytest.approx(inserted[name][-1], abs=1e-4)
        assert curve[-1] == pytest.approx(inserted[name][0], abs=1e-4)
    for what in ("zero", "mean", "scans"):
        deleted = trial.curves[f"voxel deletion, {what}"]
        inserted = trial.curves[f"voxel insertion, {what}"]
        for name, curve in deleted.items():
            assert len(curve) == len(inserted[name]) == len(PARTS)
            assert curve[0] == pytest.approx(inserted[name][-1], abs=1e-3)
            assert curve[-1] == pytest.approx(inserted[name][0], abs=1e-3)
            assert curve[0] == pytest.approx(whole, abs=1e-3)


def test_voxels_of_most_evidence_are_worth_more_than_random_ones(trial):
    for kind in Baseline:
        name = f"voxel {{}} AUC, {kind.value}, {{}}"
        evidence, random = "evidence", "random"
        deletion, insertion = "deletion", "insertion"
        figures = trial.figures
        assert figures[name.format(deletion, evidence)] < figures[name.format(deletion, random)]
        assert figures[name.format(insertion, evidence)] > figures[name.format(insertion, random)]


def test_what_is_shown_first_is_compared_with_maps_of_the_scans(trial):
    names = trial.curves["voxel deletion, scans"].keys()
    assert names == {
        "first component's evidence", "the block's evidence", "the block's Grad-CAM",
        "Grad-CAM", "integrated gradients", "gradient times input", "random",
    }  # fmt: skip
    areas = {name: trial.figures[f"voxel deletion AUC, scans, {name}"] for name in names}
    assert areas["integrated gradients"] < areas["random"]


def test_a_little_noise_leaves_the_maps_and_other_weights_do_not(trial):
    figures = trial.figures
    assert figures["correlation after noise, median of 6"] > 0.9
    assert figures["correlation after random weights, median of 6"] < 0.7
    assert figures["correlation after random weights, within that place, median of 6"] < 0.7
    assert all(np.isfinite(value) for value in figures.values())
    assert trial.to_dict()["case"] == "one"


def test_a_proof_stops_when_it_is_cancelled(segmenter, result):
    with pytest.raises(CancelledError):
        monitor = Monitor(is_cancelled=lambda: True)
        try_case(segmenter, result, "one", truth(result), monitor=monitor)


def test_the_best_dice_is_that_of_the_best_threshold():
    mask = np.zeros((6, 6, 6), bool)
    mask[:3, :3, :3] = True
    assert best_dice(np.where(mask, 2.0, 1.0), mask) == pytest.approx(1.0, abs=0.05)
    assert best_dice(-np.ones(mask.shape), mask) == 0.0
    assert best_dice(np.ones(mask.shape), ~mask & mask) == 0.0
