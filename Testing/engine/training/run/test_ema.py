"""Averaged weights."""

from __future__ import annotations

import pytest
import torch

from factorizer_engine.training.run.ema import AveragedWeights


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
