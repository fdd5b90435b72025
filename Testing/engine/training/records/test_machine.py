"""What a run or an evaluation was computed on."""

from __future__ import annotations

import json
import sys

import torch

from factorizer_engine.training.records import machine


def test_the_machine_is_described():
    found = machine.describe_machine(torch.device("cpu"))
    assert found["kind"] == "cpu" and "cores" in found["device"]
    assert json.dumps(found)
    if sys.platform == "linux":
        assert 0.05 < found["peak_memory_gb"] < 100
