"""What a run writes while it goes: its history, in TensorBoard too."""

from __future__ import annotations

import time

import pytest

from factorizer_engine.training.config import load_config
from factorizer_engine.training.records.history import History, read_history
from factorizer_engine.training.run.run import train


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
    # TensorBoard reads its files in the order of their names, which begin with whole seconds.
    time.sleep(1.1)
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
