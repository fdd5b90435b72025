"""What a run writes beside its weights: TensorBoard logs, the machine, and who said what."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from factorizer_engine.training.config import load_config
from factorizer_engine.training.records import machine
from factorizer_engine.training.records.history import History, has_tensorboard, read_history
from factorizer_engine.training.run.loop import Trainer
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.validation import Validator


def board(folder) -> dict[str, list[tuple[int, float]]]:
    """All scalars of TensorBoard's event files: tag to (step, value)."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_shows_what_the_history_says(settings, write_config):
    folder = train(load_config(write_config(settings)))
    scalars = board(folder)
    history = read_history(folder)
    losses = [(r["step"], r["loss"]) for r in history if r["kind"] == "training"]
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert scalars["training/loss"] == [(s, pytest.approx(v, rel=1e-5)) for s, v in losses]
    for name in ("dice", "core", "whole"):
        expected = [(r["step"], r[name]) for r in history if r["kind"] == "validation"]
        assert scalars[f"validation/{name}"] == [(s, pytest.approx(v)) for s, v in expected]


def test_a_resumed_run_replaces_lost_steps_in_tensorboard_too(tmp_path):
    first = History(tmp_path)
    for step in (1, 2, 3):
        first.add("training", step, loss=1.0)
    first.close()
    second = History(tmp_path, resumed_step=2)
    for step in (3, 4):
        second.add("training", step, loss=2.0)
    second.close()
    assert [(r["step"], r["loss"]) for r in read_history(tmp_path)] == [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
    ]
    assert board(tmp_path)["training/loss"] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_a_run_without_tensorboard_says_so_and_goes_on(settings, write_config, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert not has_tensorboard()
    settings["optimization"]["steps"] = 2
    folder = train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert "No TensorBoard logs: the package tensorboard is not installed" in said
    assert not (folder / "tensorboard").exists()
    assert read_history(folder)


def test_progress_is_told_live(settings, write_config, capsys):
    settings["optimization"]["steps"] = 3
    train(load_config(write_config(settings)))
    said = capsys.readouterr().out
    assert "step 1  loss" in said and "step 3  validation Dice" in said and "finished" in said


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


def test_training_looks_at_no_held_out_case(settings, write_config, monkeypatch):
    asked = set()
    original = Trainer.prepare_cases

    def watched(self):
        get = self._cache.get
        monkeypatch.setattr(self._cache, "get", lambda name: asked.add(name) or get(name))
        original(self)

    monkeypatch.setattr(Trainer, "prepare_cases", watched)
    train(load_config(write_config(settings)))
    assert asked == {f"blob_{n}" for n in range(5)}


def test_the_machine_is_described():
    found = machine.describe_machine(torch.device("cpu"))
    assert found["kind"] == "cpu" and "cores" in found["device"]
    assert json.dumps(found)
    if sys.platform == "linux":
        assert 0.05 < found["peak_memory_gb"] < 100


def test_the_command_keeps_freed_memory(settings, write_config, monkeypatch):
    from factorizer_engine.cli import main
    from factorizer_engine.cli import training as commands

    calls = []
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: calls.append(1))
    with pytest.raises(SystemExit) as end:
        main(["train", str(write_config(settings)), "--check"])
    assert not end.value.code and calls == [1]
