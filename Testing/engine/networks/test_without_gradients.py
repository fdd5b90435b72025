"""What networks do differently without gradients: fused products, and voxels in parts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from engine import reference
from factorizer_engine.factorization import SWMatricize, mixing, threads
from factorizer_engine.networks import Factorizer, layers

TOKENS, WEIGHT, BIAS = (40, 6), (10, 6), (10,)


@pytest.mark.parametrize("strided", ["nothing", "weight", "tokens"])
@pytest.mark.parametrize("biased", [True, False])
def test_a_fused_linear_map_is_the_plain_one(strided, biased):
    torch.manual_seed(0)
    tokens, weight, add = torch.randn(TOKENS), torch.randn(WEIGHT), torch.randn(40, 10)
    bias = torch.randn(BIAS) if biased else None
    if strided == "weight":
        weight = weight.t().contiguous().t()
    if strided == "tokens":
        tokens = tokens.t().contiguous().t()
    plain = F.linear(tokens, weight, bias)
    with torch.no_grad():
        found = layers.linear(tokens, weight, bias)
        activated = layers.linear(tokens, weight, bias, gelu=True)
        summed = layers.linear(tokens, weight, bias, add=add)
    assert reference.relative(found, plain) < 1e-6
    assert reference.relative(activated, F.gelu(plain)) < 1e-6
    assert reference.relative(summed, plain + add) < 1e-6


def _network(size: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Factorizer:
    torch.manual_seed(0)
    return Factorizer(
        2,
        3,
        size,
        encoder_depth=(1, 2, 1),
        encoder_width=(8, 16, 24),
        strides=(1, 2, 2),
        decoder_depth=(1, 1),
        reshape=(SWMatricize, {"head_dim": 4, "patch_size": 4}),
        dropout=0.1,
    ).to(dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(32, 16), (16, 16, 32)])
def test_a_network_gives_the_same_with_and_without_gradients(size, dtype, training, monkeypatch):
    monkeypatch.setattr(threads, "LARGEST_PART", 1000)  # several parts, the last one smaller
    monkeypatch.setattr(mixing, "_BLOCK_VALUES", 1000)
    network = _network(size, dtype).train(training)
    x = torch.randn(2, 2, *size, dtype=dtype)
    torch.manual_seed(1)
    expected = network(x).detach()
    torch.manual_seed(1)
    with torch.no_grad():
        found = network(x)
    assert reference.relative(found, expected) < (1e-5 if dtype == torch.float32 else 1e-12)
    if training:  # something was dropped, and the same again from the same seed
        assert not torch.equal(found, network.eval()(x).detach())


def test_half_precision_stays_near_float32():
    network, x = _network((16, 16, 32)).eval(), torch.randn(1, 2, 16, 16, 32)
    with torch.no_grad():
        expected = network(x)
        for half, tolerance in ((torch.bfloat16, 0.05), (torch.float16, 0.01)):
            found = _network((16, 16, 32), half).eval()(x.to(half))
            assert found.dtype == half
            assert reference.relative(found.float(), expected) < tolerance
