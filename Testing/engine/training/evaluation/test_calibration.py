"""Whether probabilities are what they say, on voxels whose truth is known by construction."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.special import expit, logit

from engine.training.blobs import changed_copy
from factorizer_engine.cli.evaluation import calibration_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.calibration import (
    best_temperature,
    calibration_error,
    count,
    reliability,
)
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export
from factorizer_engine.training.export.tables import lesion_rows_table

VOXELS = 200_000


def voxels(temperature: float) -> np.ndarray:
    """Counts of a model whose logits are `temperature` times too large."""
    random = np.random.default_rng(1)
    true = random.uniform(0.1, 0.9, VOXELS)
    belongs = random.uniform(size=VOXELS) < true
    return count(expit(logit(true) * temperature), belongs)


def test_right_probabilities_have_no_error():
    counts = voxels(1.0)
    assert counts.sum() == VOXELS
    assert calibration_error(counts) < 0.01
    assert best_temperature(counts) == pytest.approx(1, abs=0.03)
    for entry in reliability(counts):
        if entry["voxels"]:
            assert entry["probability"] == pytest.approx(entry["belonging"], abs=0.02)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_of_a_wrong_model_is_found_and_mends_it(temperature):
    counts = voxels(temperature)
    assert calibration_error(counts) > 0.05
    assert best_temperature(counts) == pytest.approx(temperature, rel=0.05)
    assert calibration_error(counts, temperature) < 0.02


def test_voxels_that_nobody_doubts_are_left_out():
    counts = count(np.array([0.0, 0.01, 0.2, 1.0]), np.array([True, False, False, True]))
    assert counts.sum(axis=1).tolist() == [1, 1]
    assert calibration_error(np.zeros_like(counts)) == 0.0


def test_a_model_is_measured_on_cases(run, tmp_path):
    model = str(export(run, tmp_path / "blobs").description.path)
    cases = ["blob_4", "blob_5"]
    result = evaluate(run, tmp_path / "out", model=model, cases=cases, calibration=True)
    assert result["cases"] == cases
    for summary in result["regions"].values():
        assert 0 <= summary["error_with_temperature"] <= 1
        assert set(summary["error_of_case"]) == set(cases)
    assert json.loads((tmp_path / "out" / "calibration.json").read_text()) == result
    with (tmp_path / "out" / "calibration.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 10 * len(result["regions"])
    assert calibration_table(result).row_count == 13
    for row in result["rows"]:
        assert row["case"] in cases and row["volume_ml"] > 0
        assert 0 <= row["probability"] <= 1 and 0 <= row["belonging"] <= 1


def test_rows_of_the_lesion_list_are_told_by_how_much_of_them_is_right():
    found = [(0.55, 0.2, 1.0), (0.58, 0.8, 3.0), (0.95, 0.9, 2.0)]
    rows = [{"probability": p, "belonging": b, "volume_ml": v} for p, b, v in found]
    lines = lesion_rows_table(rows).splitlines()[2:]
    assert lines == ["| 0 to 0.6 | 2 | 0.50 | 0.65 |", "| 0.9 to 1 | 1 | 0.90 | 0.90 |"]
    assert lesion_rows_table([]) == ""


def test_the_card_tells_what_a_probability_means(run, tmp_path):
    run = changed_copy(run, tmp_path / "measured", "config.json", lambda config: None)
    model = str(export(run, tmp_path / "blobs").description.path)
    result = evaluate(
        run, run / "evaluation", model=model, cases=["blob_4", "blob_5"], calibration=True
    )
    card = export(run, model, overwrite=True).description.card
    assert "## What a probability means" in card
    assert f"{result['regions']['whole']['error']:.3f}" in card
    assert ("Rows of the lesion list" in card) == bool(result["rows"])


def test_only_one_thing_is_measured_at_a_time(run, tmp_path):
    with pytest.raises(BadInputError, match="at a time"):
        evaluate(run, tmp_path, model="x", calibration=True, subsets=True)
    with pytest.raises(BadInputError, match="label maps"):
        evaluate(run, tmp_path, predictions=tmp_path, calibration=True)
