"""Disturbances of a proof: what is changed, and what stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.disturbances import (
    where_it_finds,
    with_noise,
    with_shuffled_weights,
)
from factorizer_engine.networks import finest


@pytest.fixture
def probe() -> Probe:
    torch.manual_seed(1)
    image = torch.randn(1, 2, *tiny.WINDOW)
    image[..., :3] = 0.0
    weights = torch.zeros(3, *tiny.WINDOW)
    weights[1, 4:6, 4:6, 4:6] = 1 / 8
    return Probe(image, weights)


def test_noise_stays_in_the_head(probe):
    change = with_noise(probe, np.random.default_rng(0)).image - probe.image
    assert (change[..., :3] == 0).all()
    assert change[..., 3:].std() == pytest.approx(0.05, rel=0.1)


def test_shuffled_weights_are_the_same_numbers_in_another_order():
    network = tiny.network()
    shuffled = with_shuffled_weights(network, np.random.default_rng(0))
    pairs = list(zip(network.parameters(), shuffled.parameters(), strict=True))
    assert all(torch.equal(a.flatten().sort()[0], b.flatten().sort()[0]) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_logit_is_read_where_the_network_itself_finds_the_region(probe):
    network = tiny.network()
    own = where_it_finds(network, probe, 1)
    with torch.no_grad():
        logits = finest(network(probe.image))
    read = own.weights[1] > 0
    head = (probe.image != 0).any(dim=1)[0]
    assert read.sum() == 8 and not (read & ~head).any()
    assert logits[0, 1][read].min() >= logits[0, 1][head & ~read].max()
    assert own.weights[1].sum() == pytest.approx(1.0)
    assert own.read(logits)[0, 1] > probe.read(logits)[0, 1]
