"""Scores of whole cases while training."""

from __future__ import annotations

import torch

from factorizer_engine.training.config import load_config
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.validation import Validator, dice


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
