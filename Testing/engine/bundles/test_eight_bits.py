"""Weights in 8 bits come back nearly as they were."""

from __future__ import annotations

import pytest
import torch

from engine import tiny
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.eight_bits import from_eight_bits, to_eight_bits
from factorizer_engine.bundles.settings import FewerSettings


def test_every_row_is_kept_to_half_a_step_of_its_own_scale():
    weight = torch.randn(6, 3, 2, 2, 2) * torch.logspace(-4, 2, 6)[:, None, None, None, None]
    found = from_eight_bits(to_eight_bits({"a.weight": weight}))["a.weight"]
    largest = weight.flatten(1).abs().amax(1)
    error = (found - weight).flatten(1).abs().amax(1)
    assert (error <= largest / 254 * 1.001).all()


def test_rows_of_zeros_vectors_and_whole_numbers_stay():
    state = {
        "a.weight": torch.zeros(2, 3),
        "a.bias": torch.tensor([0.5, -1.25]),
        "count": torch.tensor(7),
        "a.scale": torch.tensor([0.5, 2.0]),  # a parameter of that name
    }
    found = from_eight_bits(to_eight_bits(state))
    assert found.keys() == state.keys()
    for key, tensor in state.items():
        assert torch.equal(found[key].to(tensor.dtype), tensor), key


def test_a_model_keeps_its_networks_for_fewer_scans_in_a_quarter_of_the_space(tmp_path):
    network = tiny.network(seed=3)
    whole = tiny.bundle(tmp_path / "a", fewer_networks=(network,), fewer=FewerSettings())
    small = tiny.bundle(
        tmp_path / "b", fewer_networks=(network,), fewer=FewerSettings(), dtype="float16"
    )
    sizes = [b.fewer_weights[0].stat().st_size for b in (small, whole)]
    assert sizes[0] < 0.5 * sizes[1]
    (built,) = build_networks(small.answering(("T1",)))
    image = torch.rand(1, 2, 16, 16, 16)
    with torch.no_grad():
        wanted, found = network(image), built(image)
    assert float((found - wanted).std()) == pytest.approx(0, abs=0.05 * float(wanted.std()))
