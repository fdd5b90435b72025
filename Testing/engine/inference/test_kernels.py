"""The stage in which kernels are compiled."""

from __future__ import annotations

import pytest
import torch

from factorizer_engine.factorization import SWMatricize
from factorizer_engine.factorization.backends import BACKENDS, COMPILED
from factorizer_engine.factorization.comparison import Kind
from factorizer_engine.inference.kernels import (
    PREPARING_KERNELS,
    prepare_gradient_kernels,
    prepare_kernels,
)
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for kernels in BACKENDS:
        monkeypatch.setattr(kernels.trust, "failed", False)
        monkeypatch.setattr(kernels.trust, "verdicts", {})


def _network(head_dim: int, size: int = 8) -> Factorizer:
    reshape = (SWMatricize, {"head_dim": head_dim, "patch_size": 4})
    widths = {"encoder_width": (8, 16), "encoder_depth": (1, 1), "decoder_depth": (1,)}
    return Factorizer(1, 1, (size,) * 3, reshape=reshape, strides=(1, 2), **widths)


def test_kernels_are_compiled_once_and_the_stage_is_told_once():
    stages = []
    monitor = Monitor(lambda progress: stages.append(progress.stage))
    for _ in range(2):
        prepare_kernels([_network(4)], CPU, torch.float32, monitor)
    assert stages == [PREPARING_KERNELS]
    assert COMPILED.trust.verdicts == {Kind(4, (4, 4, 4), CPU, torch.float32): True}


def test_kernels_for_gradients_have_the_same_stage_and_serve_the_run_that_follows():
    network, stages = _network(4, size=16), []
    monitor = Monitor(lambda progress: stages.append(progress.stage))
    for _ in range(2):
        prepare_gradient_kernels([network], CPU, torch.float32, monitor)
    assert stages == [PREPARING_KERNELS]
    prepared = dict(COMPILED.trust.verdicts)
    assert all(prepared.values())
    image = torch.randn(1, 1, 16, 16, 16, requires_grad=True)
    network(image).sum().backward()
    assert COMPILED.trust.verdicts == prepared


def test_kernels_for_gradients_are_not_compiled_for_maps_too_small_for_them():
    prepare_gradient_kernels([_network(4)], CPU, torch.float32, Monitor(is_cancelled=lambda: True))
    assert not COMPILED.trust.verdicts


@pytest.mark.parametrize("why", ["device", "precision", "heads", "failed", "other network"])
def test_nothing_is_compiled_that_is_not_taken(why, monkeypatch):
    monkeypatch.setattr(COMPILED.trust, "failed", why == "failed")
    network = torch.nn.Conv3d(1, 1, 1) if why == "other network" else _network(4)
    network = _network(2) if why == "heads" else network
    device = torch.device("meta") if why == "device" else CPU
    dtype = torch.bfloat16 if why == "precision" else torch.float32
    prepare_kernels([network], device, dtype, Monitor(is_cancelled=lambda: True))
    assert not any(kernels.trust.verdicts for kernels in BACKENDS)


def test_it_can_be_cancelled():
    with pytest.raises(CancelledError):
        prepare_kernels([_network(4)], CPU, torch.float32, Monitor(is_cancelled=lambda: True))
    assert not any(kernels.trust.verdicts for kernels in BACKENDS)
