"""Several processes as one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from engine.training.run.runs import ENVIRONMENT, configured
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.run import train


def test_two_processes_train_as_one_with_twice_the_batch(settings, write_config, tmp_path):
    settings["network"]["arguments"]["dropout"] = 0.0
    settings["optimization"] |= {"steps": 3, "batch_size": 4}
    alone = train(configured(settings, write_config, tmp_path / "alone"))
    settings["optimization"]["batch_size"] = 2
    path = write_config(settings, "two.yaml")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--standalone", "-m", "factorizer_engine.cli", "train", str(path)]
    launcher += ["--output", str(tmp_path / "two")]
    terminal = tmp_path / "terminal.txt"
    with terminal.open("w") as output:
        launched = subprocess.Popen(
            launcher, env=ENVIRONMENT, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = launched.wait(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(launched.pid, signal.SIGKILL)
    said = terminal.read_text()
    assert code == 0 or "SIGABRT" in said, said  # gloo at times aborts when all has been written
    assert code or "Warning" not in said
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
