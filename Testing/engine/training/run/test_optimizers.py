"""Muon for matrices, AdamW for the rest: one optimizer to the loop."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import OptimizationSection
from factorizer_engine.training.run.optimizers import MuonAdamW, build_optimizer

RATE = 0.01


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.Conv3d(8, 2, 1)
    )


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 1) -> float:
    x = torch.randn(2, 2, 6, 6, 6, generator=torch.Generator().manual_seed(seed))
    loss = (network(x) - x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_kernels_move_along_orthogonal_matrices_and_the_rest_as_with_adamw(network):
    twin = copy.deepcopy(network)
    before = network[0].weight.detach().clone()
    step(network, MuonAdamW(network.parameters(), lr=RATE, weight_decay=0.0))
    step(twin, torch.optim.AdamW(twin.parameters(), lr=RATE, weight_decay=0.0))
    moved = (network[0].weight - before).detach().flatten(1)
    values = torch.linalg.svdvals(moved)
    assert values.min() > 0.5 * values.max()  # Newton-Schulz leaves them between 0.7 and 1.2
    assert 0.1 * RATE < moved.square().mean().sqrt() < 0.3 * RATE
    for index in (0, 1, 3):
        torch.testing.assert_close(network[index].bias, twin[index].bias)
    torch.testing.assert_close(network[3].weight, twin[3].weight)


def test_kernels_may_move_less_by_the_root_of_their_voxels(network):
    twin = copy.deepcopy(network)
    before = copy.deepcopy(network.state_dict())
    step(network, MuonAdamW(network.parameters(), lr=RATE, weight_decay=0.0))
    step(twin, MuonAdamW(twin.parameters(), lr=RATE, weight_decay=0.0, kernel_rate="voxel"))
    for name, value in network.state_dict().items():
        share = 27**-0.5 if name == "0.weight" else 1.0
        moved = twin.state_dict()[name] - before[name]
        torch.testing.assert_close(moved, share * (value - before[name]), rtol=1e-4, atol=1e-7)


def test_only_muon_knows_how_far_kernels_move():
    with pytest.raises(ValueError, match="needs 'optimizer: muon'"):
        OptimizationSection(optimizer="adamw", kernel_rate="voxel")


def test_it_learns_and_follows_the_rate_of_its_group(network):
    optimizer = MuonAdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    losses = [step(network, optimizer) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    before = copy.deepcopy(network.state_dict())
    optimizer.param_groups[0]["lr"] = 0.0
    step(network, optimizer)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("kernel_rate", ["matrix", "voxel"])
def test_its_state_brings_back_the_same_course(network, kernel_rate):
    settings = {"lr": RATE, "weight_decay": 0.01, "kernel_rate": kernel_rate}
    optimizer = MuonAdamW(network.parameters(), **settings)
    step(network, optimizer)
    twin = copy.deepcopy(network)
    restored = MuonAdamW(twin.parameters(), **settings)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (2, 3):
        step(network, optimizer, seed)
        step(twin, restored, seed)
    for name, value in network.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


def test_an_old_pytorch_is_told_about_plainly(network, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(BadInputError, match=r"has no Muon; install 2\.9"):
        build_optimizer(network.parameters(), OptimizationSection(optimizer="muon"))
