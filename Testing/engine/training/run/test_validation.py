"""Scores of whole cases while training."""

from __future__ import annotations

import pytest
import torch

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection, PreprocessingSection, load_config
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.records.records import open_run
from factorizer_engine.training.run.distributed import Team
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.validation import Validator, dice, subsets_of


def test_dice_of_two_empty_masks_is_one():
    empty, full = torch.zeros(1, 3, 3, 3).bool(), torch.ones(1, 3, 3, 3).bool()
    assert dice(empty, empty).item() == 1.0
    assert dice(empty, full).item() == 0.0
    assert dice(full, full).item() == 1.0


def test_the_best_weights_are_those_of_the_best_validation(settings, write_config, monkeypatch):
    settings["optimization"]["steps"] = 4
    settings["run"] |= {"first_validation": 1, "validate_every": 1}
    scores = iter([0.2, 0.6, 0.4, 0.5])

    def scored(*arguments):
        return {"blob_4": [next(scores)] * 2}

    monkeypatch.setattr(Validator, "scores", scored)
    folder = train(load_config(write_config(settings)))
    best = torch.load(folder / "best.pt", weights_only=True)
    assert (best["step"], best["validation_dice"]) == (2, 0.6)
    assert torch.load(folder / "final.pt", weights_only=True)["step"] == 4


def test_weights_are_chosen_by_parts_of_the_channels_too(settings, write_config, monkeypatch):
    settings["data"]["needs"] = {"core": ["B"]}
    settings["augmentation"] = {"sequence_dropout": 0.5}
    settings["optimization"]["steps"] = 2
    settings["run"] |= {"first_validation": 1, "validate_every": 1, "validation_subsets": [["A"]]}
    # Core and whole, with all channels and with A alone, where only the second counts.
    scores = iter([[0.9, 0.9], [0.9, 0.1], [0.8, 0.8], [0.0, 0.6]])
    absent = []

    def scored(validator, network, names, team, without=()):
        absent.append(without)
        return {"blob_4": next(scores)}

    monkeypatch.setattr(Validator, "scores", scored)
    folder = train(load_config(write_config(settings)))
    assert absent == [(), (1,), (), (1,)]
    best = torch.load(folder / "best.pt", weights_only=True)
    assert best["step"] == 2 and best["validation_dice"] == pytest.approx(0.7)
    assert open_run(folder).best_validation["subsets"] == {"A": 0.6}


def test_channels_that_are_left_out_are_zero(dataset_dir, tmp_path):
    class Sum(torch.nn.Module):
        def forward(self, image):
            return 20 * (image.abs().sum(dim=1, keepdim=True) > 0).float() - 10

    dataset = open_dataset(DataSection(root=str(dataset_dir), regions={"whole": (1, 2)}))
    cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection())
    validator = Validator(cache, (16, 16, 16), 0.0, torch.device("cpu"), torch.float32)
    some = validator.scores(Sum(), ["blob_0"], Team(), (0,))["blob_0"]
    none = validator.scores(Sum(), ["blob_0"], Team(), (0, 1))["blob_0"]
    assert some[0] > 0 and none == [0.0]


@pytest.mark.parametrize(
    ("subset", "problem"), [(["PET"], "no channel PET"), (["A"], "no region can be seen in A")]
)
def test_parts_of_the_channels_that_make_no_sense_are_refused(dataset_dir, subset, problem):
    section = DataSection(root=str(dataset_dir), regions={"core": (2,)}, needs={"core": ("B",)})
    with pytest.raises(BadInputError, match=problem):
        subsets_of(open_dataset(section), [subset])
