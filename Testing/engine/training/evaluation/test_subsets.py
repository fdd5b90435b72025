"""The table of Dice with every part of the channels, and what a model then says of itself."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from engine.training.blobs import changed_copy
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.cli.evaluation import subsets_table
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.subsets import cost
from factorizer_engine.training.evaluation.evaluation import evaluate, open_cases
from factorizer_engine.training.evaluation.predictors import every_subset, open_model
from factorizer_engine.training.evaluation.subsets import told_by
from factorizer_engine.training.export.export import export


@pytest.fixture
def needy(run, tmp_path):
    """A run of data whose core cannot be seen without the second channel."""

    def change(config):
        config["data"]["needs"] = {"core": ["B"]}

    return changed_copy(run, tmp_path / "needy", "config.json", change)


@pytest.fixture
def model(needy, tmp_path) -> str:
    return str(export(needy, tmp_path / "models" / "blobs").description.path)


def test_every_part_of_the_channels_is_measured_and_paired(needy, model, tmp_path):
    cases = ["blob_4", "blob_5"]
    result = evaluate(needy, tmp_path / "out", model=model, cases=cases, subsets=True)
    assert [entry["channels"] for entry in result["subsets"]] == [["A", "B"], ["A"], ["B"]]
    whole, first, second = result["subsets"]
    assert list(whole["mean"]) == list(second["mean"]) == ["core", "whole"]
    assert list(first["mean"]) == ["whole"]
    for entry in result["subsets"]:
        for region, change in entry["difference"].items():
            expected = entry["mean"][region] - whole["mean"][region]
            assert change["mean"] == pytest.approx(expected)
            assert (
                change["low"] <= change["mean"] + 1e-9 and change["mean"] <= change["high"] + 1e-9
            )
    plain = evaluate(needy, tmp_path / "plain", model=model, cases=cases)
    assert whole["mean"]["whole"] == pytest.approx(plain["summary"]["whole"]["dice"]["mean"])
    assert first["mean"]["whole"] != whole["mean"]["whole"]
    assert json.loads((tmp_path / "out" / "subsets.json").read_text()) == result
    with (tmp_path / "out" / "subsets.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * (2 + 1 + 2)
    assert subsets_table(result).row_count == 3


def test_a_model_does_not_call_cases_unseen_that_training_knew(needy, model, tmp_path):
    told = []
    for number, case in enumerate(("blob_4", "blob_5")):  # of validation, and held out
        evaluate(needy, needy / "evaluation", model=model, cases=[case], subsets=True)
        bundle = export(needy, tmp_path / str(number) / "blobs")
        told.append(cost(bundle.description, bundle.description.subsets[2]))
    assert "Mean Dice on 1 case that training knew: " in told[0]
    assert "Mean Dice on 1 unseen case: " in told[1]


def test_a_model_says_what_was_measured_of_it(needy, model):
    bundle = load_bundle(model)
    assert bundle.description.subsets == ()
    with pytest.raises(BadInputError, match="The B scan is missing"):
        evaluate(needy, needy / "x", model=model, channels=["A"])
    result = evaluate(needy, needy / "evaluation", model=model, subsets=True)
    export(needy, model, overwrite=True)
    found = load_bundle(model).description
    assert found.subsets == told_by(result, 0.6)
    assert [subset.cases for subset in found.subsets] == [1, 1, 1]
    assert "## With fewer sequences" in found.card and "core needs B." in found.card
    assert "| A | cannot be seen |" in found.card
    with_all = load_bundle(model)
    assert Segmenter(with_all, "cpu").bundle.description.subsets == found.subsets


def test_only_what_is_seen_well_enough_counts_as_seen():
    def entry(channels, **mean):
        return {"channels": channels, "mean": mean}

    result = {
        "channels": ["A", "B"],
        "cases": ["x", "y"],
        "subsets": [entry(["A", "B"], core=0.5, whole=0.9), entry(["A"], core=0.5, whole=0.71234)],
    }
    whole, part = told_by(result, 0.6)
    assert whole.regions == ("core", "whole")  # whatever it is, it is what the model can do
    assert part.regions == ("whole",) and part.dice == {"core": 0.5, "whole": 0.712}
    assert part.cases == 2


def test_a_model_is_scored_with_some_channels_for_what_it_sees(needy, model, tmp_path):
    result = evaluate(needy, needy / "evaluation", model=model, subsets=True)
    whole = result["subsets"][1]["mean"]["whole"]
    export(needy, model, overwrite=True, config=_told_from(needy, tmp_path, 0.0))
    scored = evaluate(needy, tmp_path / "out", model=model, channels=["a"])
    assert list(scored["summary"]) == ["whole"]
    assert scored["summary"]["whole"]["dice"]["mean"] == pytest.approx(whole, abs=0.02)
    assert scored["note"].endswith("A only")
    changed = evaluate(needy, tmp_path / "out", model=model, channels=["A"], robustness=True)
    assert changed["regions"] == ["whole"]
    assert changed["perturbations"]["unchanged"]["mean"]["whole"] == pytest.approx(whole, abs=0.02)


def test_what_cannot_be_measured_together_is_refused(needy, model, predictions, tmp_path):
    with pytest.raises(BadInputError, match="Give --subsets without"):
        evaluate(needy, tmp_path, model=model, subsets=True, channels=["A"])
    with pytest.raises(BadInputError, match="only be measured of a model"):
        evaluate(needy, tmp_path, predictions=predictions, subsets=True)


def test_all_parts_of_four_channels_are_fifteen():
    from engine.protocol.test_subsets import FRUGAL

    found = every_subset(FRUGAL, {"ET": ("T1ce",), "WT": ("FLAIR",)})
    assert len(found) == 15 and found[0].channels == ("FLAIR", "T1", "T1ce", "T2")
    assert {s.channels: s.regions for s in found}[("T1", "T2")] == ("TC",)


def _told_from(run, tmp_path, seen_from: float):
    """A configuration that calls a region seen from another Dice on."""
    content = json.loads((run / "config.json").read_text())
    content["bundle"]["seen_from"] = seen_from
    path = tmp_path / "told.yaml"
    path.write_text(json.dumps(content))
    return path


def test_a_case_that_lacks_a_channel_is_scored_with_the_others(needy, model, tmp_path):
    def lose_a_channel(config):
        root = shutil.copytree(config["data"]["root"], tmp_path / "data")
        (root / "imagesTr" / "blob_4_0001.nii.gz").unlink()
        config["data"] |= {"root": str(root), "may_lack": ["B"]}

    run = changed_copy(needy, tmp_path / "partial", "config.json", lose_a_channel)
    with pytest.raises(BadInputError, match="blob_4 lacks B; name by --channel what all cases"):
        evaluate(run, tmp_path / "out", model=model, cases=["blob_4"])
    dataset, _split = open_cases(run)
    predictor = open_model(model, channels=["A"], needs=dataset.needs)
    assert set(predictor.inputs(dataset.case("blob_4"))[0]) == {"A"}


def test_regions_that_a_label_does_not_tell_of_are_not_scored(needy, model, tmp_path):
    def know_less(config):
        config["data"]["unlabelled"] = {"core": ["blob_4"]}

    run = changed_copy(needy, tmp_path / "partial", "config.json", know_less)
    result = evaluate(run, tmp_path / "out", model=model, cases=["blob_4", "blob_5"])
    assert "core" not in result["summary"] and "whole" in result["summary"]
