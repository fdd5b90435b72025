"""Runs that stop, crash or are killed, and go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.training.run.runs import ENVIRONMENT, configured, same_weights
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.loop import Trainer
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.schedule import Budget
from factorizer_engine.training.run.state import load_checkpoint


class Interruption(Exception):
    pass


def crash(config, step: int) -> None:
    """Train until a step, which fails."""
    original = Trainer._train_step

    def crashing(self, *args):
        if self.step == step:
            raise Interruption()
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(Trainer, "_train_step", crashing)
        train(config)


def test_a_run_that_crashes_resumes_to_the_same_weights(settings, write_config, tmp_path):
    whole = train(configured(settings, write_config, tmp_path / "whole"))
    config = configured(settings, write_config, tmp_path / "broken")
    crash(config, 5)
    torch.manual_seed(99)  # whatever happened in between
    resumed = train(config, resume=True)
    assert same_weights(whole, resumed)
    steps = [r["step"] for r in read_history(resumed) if r["kind"] == "training"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_killed_without_warning_resumes_to_the_same_weights(settings, write_config, tmp_path):
    settings["optimization"]["steps"] = 400
    settings["run"]["checkpoint_every"] = 1
    path, folder = write_config(settings), tmp_path / "run"
    command = [sys.executable, "-m", "factorizer_engine.cli", "train", str(path)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        while len(read_history(folder)) < 4 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    reached = load_checkpoint(folder / "last.pt")["step"]
    assert 1 <= reached < 400
    # The learning rate depends on the planned steps, so the reference run has the same plan.
    reference = configured(settings, write_config, tmp_path / "reference")
    target = reached + 3
    for config, resume in ((load_config(path), True), (reference, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Budget, "is_spent", lambda self, step: step >= target)
            train(config, resume=resume)
    assert same_weights(folder, tmp_path / "reference")


def test_a_run_that_is_killed_before_its_first_checkpoint_can_be_gone_on_with(
    settings, write_config, tmp_path
):
    settings["run"]["checkpoint_every"] = 100
    whole = train(configured(settings, write_config, tmp_path / "whole"))
    config = configured(settings, write_config, tmp_path / "broken")
    crash(config, 1)
    assert same_weights(whole, train(config, resume=True))


def test_a_run_that_has_ended_is_left_as_it_is(settings, write_config, monkeypatch):
    monkeypatch.setattr(Budget, "is_spent", lambda self, step: step >= 3)
    config = configured(settings, write_config)
    folder = train(config)
    history = read_history(folder)
    train(config, resume=True)
    assert read_history(folder) == history
    record = json.loads((folder / "run.json").read_text())
    assert record["steps"] == 3 and record["finished"]


def test_a_run_that_has_not_begun_cannot_be_resumed(settings, write_config):
    with pytest.raises(BadInputError, match="holds no checkpoint to resume from; begin .* without"):
        train(configured(settings, write_config), resume=True)


def test_what_a_killed_process_left_of_a_checkpoint_goes(settings, write_config):
    settings["optimization"]["steps"] = 2
    config = configured(settings, write_config)
    folder = train(config)
    left = folder / f".{'0' * 32}-last.pt"
    left.write_bytes(b"half of the n")
    train(config, resume=True)
    assert not left.exists() and load_checkpoint(folder / "last.pt")["step"] == 2


def test_a_request_to_stop_ends_with_a_checkpoint(settings, write_config, monkeypatch):
    original = Trainer._train_step

    def signalling(self, *args):
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_train_step", signalling)
    folder = train(configured(settings, write_config))
    assert load_checkpoint(folder / "last.pt")["step"] == 3
    assert not json.loads((folder / "run.json").read_text())["finished"]


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("optimization", {"learning_rate": 1e-4}),
        ("data", {"regions": {"core": [1], "whole": [1, 2]}}),
        ("interaction", {"clicks": 2}),
    ],
)
def test_a_run_cannot_be_resumed_with_another_configuration(
    settings, write_config, section, changes
):
    settings["optimization"]["steps"] = 2
    settings["preprocessing"]["spacing"] = [2, 2, 2]
    train(configured(settings, write_config))
    settings[section] = settings.get(section, {}) | changes
    (key,) = changes
    with pytest.raises(
        BadInputError, match=rf"another configuration \(it differs in {section}.{key}\)"
    ):
        train(configured(settings, write_config), resume=True)


@pytest.mark.parametrize("change", ["is gone", "was dealt anew"])
def test_a_run_goes_on_with_the_cases_that_it_began_with(
    settings, write_config, monkeypatch, change
):
    settings["split"] = {"folds": 3}
    trained: list[tuple[str, ...]] = []
    original = Trainer._train_step

    def stopping(self, *args):
        trained.append(self._split.train)
        if len(trained) == 4:
            raise Interruption()
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_train_step", stopping)
    config = configured(settings, write_config)
    with pytest.raises(Interruption):
        train(config)
    file = Path(config.split.file)
    dealt = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    if change == "was dealt anew":
        file.write_text(json.dumps(dealt | {"folds": dealt["folds"][::-1]}), encoding="utf-8")
    train(config, resume=True)
    assert len(trained) > 4 and set(trained) == {trained[0]}
    assert file.is_file() == (change == "was dealt anew")
