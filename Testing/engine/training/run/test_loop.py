"""The loop: it learns, and stops at nonsense."""

from __future__ import annotations

import json

import pytest
import torch

from engine.training.run.runs import configured
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.loop import NotANumberError
from factorizer_engine.training.run.losses import RegionLoss
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.state import load_checkpoint


def test_a_short_run_learns_and_keeps_its_records(settings, write_config):
    settings["optimization"] |= {"steps": 40, "batch_size": 4}
    folder = train(configured(settings, write_config))
    history = read_history(folder)
    losses = [r["loss"] for r in history if r["kind"] == "training"]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    validation = [r for r in history if r["kind"] == "validation"]
    assert [r["step"] for r in validation] == [3, 40]
    assert validation[-1]["whole"] > 0.6
    record = json.loads((folder / "run.json").read_text())
    assert record["finished"] and record["steps"] == 40
    for name in ("config.json", "split.json", "best.pt", "final.pt", "report.html"):
        assert (folder / name).is_file(), name


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    settings, write_config, monkeypatch
):
    original = RegionLoss.forward
    calls = iter(range(100))

    def failing(self, logits, target):
        loss = original(self, logits, target)
        return loss * float("nan") if next(calls) == 4 else loss

    monkeypatch.setattr(RegionLoss, "forward", failing)
    config = configured(settings, write_config)
    with pytest.raises(NotANumberError, match="stopped being a number at step 5; the last good"):
        train(config)
    state = load_checkpoint(config.output / "last.pt")
    assert state["step"] == 4
    assert all(torch.isfinite(weight).all() for weight in state["network"].values())


def test_deep_supervision_checkpointing_and_half_precision_train_too(settings, write_config):
    settings["network"]["arguments"]["num_deep_supr"] = 2
    settings["optimization"] |= {"precision": "bfloat16", "gradient_checkpointing": True}
    history = read_history(train(configured(settings, write_config)))
    assert len([r for r in history if r["kind"] == "training"]) == 6
