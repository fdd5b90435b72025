"""Metrics, evaluation of label maps, and comparison of two models."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import write_image
from factorizer_engine.cli.evaluation import differences_table, results_table
from factorizer_engine.images.files.readers import read_scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.comparison import compare
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.evaluation.metrics import WORST_HD95_MM, lesion_f1, score_region
from factorizer_engine.training.evaluation.scoring import read_results, score_case

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


def test_regions_are_unions_of_label_values():
    from factorizer_engine.images.scan import Scan

    reference, prediction = np.zeros((6, 6, 6), np.uint8), np.zeros((6, 6, 6), np.uint8)
    reference[1:3], reference[3:5] = 1, 4
    prediction[1:3], prediction[3:5] = 4, 1
    scans = [Scan.of(a, np.eye(4)) for a in (prediction, reference)]
    scores = score_case(*scans, {"ET": (4,), "TC": (1, 4)})
    assert scores["TC"]["dice"] == 1.0 and scores["ET"]["dice"] == 0.0


@pytest.fixture
def predictions(dataset_dir, tmp_path):
    """Label maps that are one voxel off along the first axis."""
    folder = tmp_path / "predictions"
    for path in (dataset_dir / "labelsTr").iterdir():
        label = np.asarray(nib.load(path).dataobj)
        write_image(folder / path.name, np.roll(label, 1, axis=0))
    return folder


def test_label_maps_are_scored_into_tables(dataset_dir, predictions, tmp_path):
    result = evaluate(dataset_dir, tmp_path / "out", predictions=predictions)
    assert set(result["cases"]) == {f"blob_{n}" for n in range(6)}
    dice = [scores["whole"]["dice"] for scores in result["cases"].values()]
    assert 0.7 < min(dice) and max(dice) < 1
    assert result["summary"]["whole"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    assert float(rows[0]["dice"]) == pytest.approx(dice[0], abs=1e-4)
    assert results_table(result).row_count == 6 * 3 + 3


def test_a_missing_prediction_is_named(dataset_dir, predictions, tmp_path):
    (predictions / "blob_2.nii.gz").unlink()
    with pytest.raises(BadInputError, match="no label map of the case blob_2"):
        evaluate(dataset_dir, tmp_path / "out", predictions=predictions)


def test_a_prediction_on_another_grid_is_refused(dataset_dir, predictions, tmp_path):
    scan = read_scan(predictions / "blob_0.nii.gz")
    write_image(predictions / "blob_0.nii.gz", scan.array, spacing=3.0)
    with pytest.raises(BadInputError, match="different grids"):
        evaluate(dataset_dir, tmp_path / "out", predictions=predictions)


def test_held_out_cases_of_a_configuration_are_evaluated(
    settings, write_config, predictions, tmp_path
):
    from factorizer_engine.training.config import load_config
    from factorizer_engine.training.data.splits import make_split
    from factorizer_engine.training.run.checks import check_training

    path = write_config(settings)
    config = load_config(path)
    make_split(config.split, check_training(config).volumes)
    result = evaluate(path, tmp_path / "out", predictions=predictions)
    assert list(result["cases"]) == ["blob_5"]
    result = evaluate(path, tmp_path / "out", predictions=predictions, cases=["blob_1"])
    assert list(result["cases"]) == ["blob_1"]


def test_a_consistent_difference_is_clear_and_noise_is_not(dataset_dir, predictions, tmp_path):
    evaluate(dataset_dir, tmp_path / "a", predictions=predictions)
    evaluate(dataset_dir, tmp_path / "b", predictions=dataset_dir / "labelsTr")
    differences = compare(*(read_results(tmp_path / n) for n in "ab"))
    dice = next(d for d in differences if (d.region, d.metric) == ("whole", "dice"))
    assert dice.is_clear and 0 < dice.low <= dice.mean <= dice.high and dice.second == 1.0
    parts = [d.mean for d in differences if d.metric == "dice" and d.region != "mean"]
    mean = next(d for d in differences if (d.region, d.metric) == ("mean", "dice"))
    assert len(parts) > 1 and mean.mean == pytest.approx(sum(parts) / len(parts))
    same = compare(*(read_results(tmp_path / n) for n in "aa"))
    assert not any(d.is_clear for d in same)
    assert differences_table(differences).row_count == len(differences)


def test_models_are_compared_on_the_cases_that_both_have():
    def results(values):
        scores = {n: {"r": {m: v for m in METRICS}} for n, v in values.items()}
        return {"cases": scores, "summary": {"r": {}}}

    from factorizer_engine.training.evaluation.metrics import METRICS

    first = results({"a": 0.5, "b": 0.6, "c": 0.9})
    second = results({"b": 0.7, "c": 0.9, "d": 0.1})
    difference = compare(first, second)[0]
    assert difference.cases == 2
    assert difference.mean == pytest.approx(0.05)
    with pytest.raises(BadInputError, match="fewer than two cases"):
        compare(first, results({"x": 1.0}))
