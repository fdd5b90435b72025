"""The loop: it learns, resumes exactly, survives being killed and stops at nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.training.config import NetworkSection, OptimizationSection, load_config
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.ema import AveragedWeights
from factorizer_engine.training.run.loop import NotANumberError, Trainer
from factorizer_engine.training.run.losses import DeepSupervisionLoss, RegionLoss
from factorizer_engine.training.run.networks import (
    build_network,
    load_matching_weights,
    network_spec,
)
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.schedule import Budget, learning_rate
from factorizer_engine.training.run.state import load_checkpoint
from factorizer_engine.training.run.validation import dice

MODULE_DIR = Path(__file__).parents[3] / "FactorizerSegmentation"


def configured(settings, write_config, output=None):
    return load_config(write_config(settings), output=output)


def same_weights(first: Path, second: Path) -> bool:
    a, b = (load_checkpoint(folder / "last.pt") for folder in (first, second))
    return a["step"] == b["step"] and all(
        torch.equal(a[part][key], b[part][key])
        for part in ("network", "average")
        for key in a[part]
    )


class Interruption(Exception):
    pass


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


def test_linear_adapters_begin_as_the_centres_of_convolutions(tmp_path):
    arguments = {"encoder_depth": [1, 1], "encoder_width": [8, 16], "strides": [1, 2]}
    arguments |= {"decoder_depth": [1], "head_dim": 4, "patch_size": 4}

    def network(**more):
        section = NetworkSection(arguments={**arguments, **more})
        return build_network(network_spec(section, 1, 2, (16, 16, 16)), (16, 16, 16))

    linear, convolutional = network(), network(adapter_kernel=3)
    torch.save({"network": linear.state_dict()}, tmp_path / "begun.pt")
    x = torch.randn(1, 1, 16, 16, 16)
    assert not torch.allclose(convolutional(x), linear(x))
    load_matching_weights(convolutional, tmp_path / "begun.pt")
    torch.testing.assert_close(convolutional(x), linear(x))


def test_a_run_that_crashes_resumes_to_the_same_weights(
    settings, write_config, tmp_path, monkeypatch
):
    whole = train(configured(settings, write_config, tmp_path / "whole"))
    original = Trainer._train_step

    def crashing(self, *args):
        if self.step == 5:
            raise Interruption()
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_train_step", crashing)
    config = configured(settings, write_config, tmp_path / "broken")
    with pytest.raises(Interruption):
        train(config)
    torch.manual_seed(99)  # whatever happened in between
    monkeypatch.setattr(Trainer, "_train_step", original)
    resumed = train(config, resume=True)
    assert same_weights(whole, resumed)
    steps = [r["step"] for r in read_history(resumed) if r["kind"] == "training"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_killed_without_warning_resumes_to_the_same_weights(settings, write_config, tmp_path):
    settings["optimization"]["steps"] = 400
    settings["run"]["checkpoint_every"] = 1
    path, folder = write_config(settings), tmp_path / "run"
    command = [sys.executable, "-m", "factorizer_engine.cli", "train", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(MODULE_DIR), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
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


def test_two_processes_train_as_one_with_twice_the_batch(settings, write_config, tmp_path):
    settings["network"]["arguments"]["dropout"] = 0.0
    settings["optimization"] |= {"steps": 3, "batch_size": 4}
    alone = train(configured(settings, write_config, tmp_path / "alone"))
    settings["optimization"]["batch_size"] = 2
    path = write_config(settings, "two.yaml")
    environment = {**os.environ, "PYTHONPATH": str(MODULE_DIR), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--standalone", "-m", "factorizer_engine.cli", "train", str(path)]
    launcher += ["--output", str(tmp_path / "two")]
    terminal = tmp_path / "terminal.txt"
    with terminal.open("w") as output:
        launched = subprocess.Popen(
            launcher, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            assert launched.wait(timeout=200) == 0, terminal.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(launched.pid, signal.SIGKILL)
    assert "Warning" not in terminal.read_text()
    one, two = (
        [r for r in read_history(folder) if r["kind"] == "training"]
        for folder in (alone, tmp_path / "two")
    )
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], rel=1e-3)
    assert one[-1]["step"] == 3
    validations = [
        next(r for r in read_history(folder) if r["kind"] == "validation")["cases"].keys()
        for folder in (alone, tmp_path / "two")
    ]
    assert validations[0] == validations[1]


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


def test_a_folder_with_a_run_is_not_overwritten(settings, write_config):
    settings["optimization"]["steps"] = 2
    config = configured(settings, write_config)
    train(config)
    with pytest.raises(BadInputError, match="holds a run already"):
        train(config)


def test_a_run_can_be_repeated_from_its_own_configuration(settings, write_config, tmp_path):
    settings["optimization"]["steps"] = 2
    first = train(configured(settings, write_config))
    again = train(load_config(first / "config.json", output=tmp_path / "again"))
    assert same_weights(first, again)


def test_a_run_cannot_be_resumed_with_another_configuration(settings, write_config):
    settings["optimization"]["steps"] = 2
    train(configured(settings, write_config))
    settings["optimization"]["learning_rate"] = 1e-4
    with pytest.raises(BadInputError, match="another configuration"):
        train(configured(settings, write_config), resume=True)


def test_deep_supervision_checkpointing_and_half_precision_train_too(settings, write_config):
    settings["network"]["arguments"]["num_deep_supr"] = 2
    settings["optimization"] |= {"precision": "bfloat16", "gradient_checkpointing": True}
    history = read_history(train(configured(settings, write_config)))
    assert len([r for r in history if r["kind"] == "training"]) == 6


@pytest.mark.parametrize(
    "network",
    [
        {
            "type": "segresnet",
            "arguments": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
        },
        {
            "type": "dynunet",
            "arguments": {
                "kernel_size": [3, 3, 3],
                "strides": [1, 2, 2],
                "upsample_kernel_size": [2, 2],
                "filters": [8, 16, 32],
            },
        },
    ],
    ids=lambda network: network["type"],
)
def test_reference_networks_train_in_the_same_loop(settings, write_config, network):
    settings["network"] = network
    history = read_history(train(configured(settings, write_config)))
    assert len([r for r in history if r["kind"] == "training"]) == 6


def test_a_window_that_does_not_fit_the_network_is_refused(settings, write_config):
    settings["window"] = [18, 16, 16]
    with pytest.raises(EngineError, match="18"):
        train(configured(settings, write_config))


def test_gradient_checkpointing_changes_no_weight(settings, write_config, tmp_path):
    plain = train(configured(settings, write_config, tmp_path / "plain"))
    settings["optimization"]["gradient_checkpointing"] = True
    frugal = train(configured(settings, write_config, tmp_path / "frugal"))
    assert same_weights(plain, frugal)


def test_the_learning_rate_warms_up_and_ends_at_zero():
    rates = [learning_rate(p, 1.0, 0.1) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0])


def test_a_schedule_over_time_counts_the_seconds_of_earlier_parts():
    section = OptimizationSection(steps=100, max_seconds=1000, schedule="time")
    budget = Budget(section, seconds=500.0)
    assert budget.progress(step=3) == pytest.approx(0.5, abs=0.01)
    assert not budget.is_spent(3)
    assert Budget(section, seconds=1000.0).is_spent(3)


def test_the_loss_is_lowest_for_the_right_answer():
    target = torch.zeros(1, 2, 4, 4, 4)
    target[:, :, :2] = 1
    right, wrong = (target * 2 - 1) * 9, (1 - target * 2) * 9
    loss = RegionLoss()
    assert loss(right, target) < 0.01 < 1.0 < loss(wrong, target)


def test_nested_regions_do_not_compete_in_the_loss():
    """Both regions hold everywhere; saying so for both must cost nothing."""
    target = torch.ones(1, 2, 4, 4, 4)
    assert RegionLoss()(target * 20, target) < 1e-3


def test_deep_supervision_weights_are_normalised():
    target = (torch.rand(1, 1, 8, 8, 8) > 0.5).float()
    outputs = [torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 4, 4, 4)]
    loss = DeepSupervisionLoss(lambda a, b: torch.tensor(3.0), (1, 0.5, 0.25))
    assert float(loss(outputs, target)) == pytest.approx(3.0)


def test_dice_of_two_empty_masks_is_one():
    empty, full = torch.zeros(1, 3, 3, 3).bool(), torch.ones(1, 3, 3, 3).bool()
    assert dice(empty, empty).item() == 1.0
    assert dice(empty, full).item() == 0.0
    assert dice(full, full).item() == 1.0


def test_averaged_weights_follow_slowly_and_start_fast():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0.0)
    average = AveragedWeights(network, decay=0.9)
    torch.nn.init.constant_(network.weight, 1.0)
    average.update(network)
    assert average.network.weight.item() == pytest.approx(1 - 2 / 11)
    for _ in range(200):
        average.update(network)
    torch.nn.init.constant_(network.weight, 2.0)
    average.update(network)
    assert average.network.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2, abs=1e-3)
