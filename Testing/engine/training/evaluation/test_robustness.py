"""The table of Dice on changed scans."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from factorizer_engine.cli.evaluation import robustness_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel, Region
from factorizer_engine.training.config import DataSection
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.evaluation import perturbations
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.evaluation.perturbations import PERTURBATIONS, Perturbation
from factorizer_engine.training.evaluation.predictors import ModelPredictor
from factorizer_engine.training.evaluation.robustness import measure_robustness


class Thresholds:
    """Stands in for a segmenter: the right answer for the blobs, by intensity."""

    bundle = SimpleNamespace(
        description=SimpleNamespace(
            name="thresholds",
            channels=[Channel(name) for name in "AB"],
            regions=[Region("whole", 1, "Whole")],
        )
    )

    def segment(self, scans, reference, options):
        scan = scans[reference]
        found = ((scan.array > 120) & (scan.array < 200)).astype(np.uint8)
        return SimpleNamespace(labelmap=scan.with_array(found))


@pytest.fixture
def dataset(dataset_dir):
    return open_dataset(DataSection(root=str(dataset_dir), regions={"whole": (1,)}))


def measured(dataset, names, folder, **options):
    return measure_robustness(ModelPredictor(Thresholds()), dataset.only(names), folder, **options)


def test_dice_is_measured_under_every_perturbation_that_fits(dataset, tmp_path):
    result = measured(dataset, ["blob_0", "blob_1"], tmp_path)
    found = result["perturbations"]
    assert set(found) == {p.name for p in PERTURBATIONS if not p.needs_stripped}
    assert found["unchanged"]["mean"]["whole"] > 0.8
    assert found["units"]["mean"]["whole"] < 0.1  # a threshold knows no other units
    assert found["misregistered"]["dice"] == found["unchanged"]["dice"]  # it only looks at A
    assert found["unchanged"]["label"]["blob_0"]["whole"] == 1.0
    assert 0.4 < found["thick_slices"]["label"]["blob_0"]["whole"] < 0.95
    assert found["thick_slices"]["mean"]["whole"] < found["unchanged"]["mean"]["whole"]
    assert json.loads((tmp_path / "robustness.json").read_text()) == result
    with (tmp_path / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(found)
    assert robustness_table(result).row_count == len(found)


def test_the_result_does_not_depend_on_the_other_cases(dataset, tmp_path):
    both = measured(dataset, ["blob_0", "blob_1"], tmp_path)
    alone = measured(dataset, ["blob_1"], tmp_path)
    for name, entry in alone["perturbations"].items():
        assert entry["dice"]["blob_1"] == both["perturbations"][name]["dice"]["blob_1"]


def test_a_grown_volume_is_compared_on_the_label_grid(dataset, tmp_path):
    def grow(scans, generator):
        return {name: perturbations._padded(scan) for name, scan in scans.items()}

    kinds = (PERTURBATIONS[0], Perturbation("grown", "grown", "", grow))
    found = measured(dataset, ["blob_2"], tmp_path, perturbations=kinds)
    plain, grown = found["perturbations"]["unchanged"], found["perturbations"]["grown"]
    assert plain["dice"] == grown["dice"] and grown["label"]["blob_2"]["whole"] == 1.0


def test_label_maps_have_no_robustness(dataset_dir, tmp_path):
    with pytest.raises(BadInputError, match="only be measured of a model"):
        evaluate(dataset_dir, tmp_path, predictions=dataset_dir / "labelsTr", robustness=True)
