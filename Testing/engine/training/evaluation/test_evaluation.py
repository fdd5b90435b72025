"""Label maps scored against reference labels, and which cases."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from engine.training.blobs import write_image
from factorizer_engine.cli.evaluation import results_table
from factorizer_engine.images.files import read_scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.evaluation import evaluate, select_cases
from factorizer_engine.training.evaluation.scoring import score_case


def test_regions_are_unions_of_label_values():
    from factorizer_engine.images.scan import Scan

    reference, prediction = np.zeros((6, 6, 6), np.uint8), np.zeros((6, 6, 6), np.uint8)
    reference[1:3], reference[3:5] = 1, 4
    prediction[1:3], prediction[3:5] = 4, 1
    scans = [Scan.of(a, np.eye(4)) for a in (prediction, reference)]
    scores = score_case(*scans, {"ET": (4,), "TC": (1, 4)})
    assert scores["TC"]["dice"] == 1.0 and scores["ET"]["dice"] == 0.0


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


def test_a_folder_of_predictions_that_is_not_there_is_named(dataset_dir, tmp_path):
    with pytest.raises(BadInputError, match="no folder .*nowhere of label maps"):
        evaluate(dataset_dir, tmp_path / "out", predictions=tmp_path / "nowhere")


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


def test_a_case_that_is_named_twice_counts_once(dataset_dir):
    chosen = select_cases(dataset_dir, ["blob_1", "blob_0", "blob_1"])
    assert [case.name for case in chosen.cases] == ["blob_1", "blob_0"]


def test_one_case_has_no_standard_deviation(dataset_dir, predictions, tmp_path):
    from factorizer_engine.training.export.tables import summary_table

    result = evaluate(dataset_dir, tmp_path / "out", predictions=predictions, cases=["blob_0"])
    assert result["summary"]["whole"]["dice"]["sd"] is None
    assert "±" not in summary_table(result)
    assert not any("±" in cell for column in results_table(result).columns for cell in column.cells)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(0.7, "whole numbers"), (4, "blob_0.nii.gz holds the value 4, which the data do not")],
)
def test_label_maps_that_are_none_of_the_data_are_refused(
    dataset_dir, predictions, tmp_path, value, sentence
):
    path = predictions / "blob_0.nii.gz"
    write_image(path, np.where(read_scan(path).array > 0, value, 0).astype(np.float32))
    with pytest.raises(BadInputError, match=sentence):
        evaluate(dataset_dir, tmp_path / "out", predictions=predictions)


def test_reference_labels_of_other_values_are_not_taken_for_empty_ones(
    dataset_dir, predictions, tmp_path
):
    path = dataset_dir / "labelsTr" / "blob_3.nii.gz"
    write_image(path, (read_scan(path).array > 0).astype(np.uint8) * 255)
    with pytest.raises(BadInputError, match="blob_3.nii.gz holds the value 255, which the data do"):
        evaluate(dataset_dir, tmp_path / "out", predictions=predictions)
    assert evaluate(dataset_dir, tmp_path / "out", predictions=predictions, cases=["blob_0"])
