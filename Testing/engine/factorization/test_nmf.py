"""The factorisation layer and its rank-1 projection form."""

from __future__ import annotations

import pytest
import torch

from engine import reference
from factorizer_engine.factorization import NMF
from factorizer_engine.factorization.rank_one import rank_one_factors


def _layer(rank: int, sweeps: int, grad_steps: int | None = None, solver: str = "hals") -> NMF:
    inputs = reference.load("nmf/inputs_8x64.safetensors")
    layer = NMF((8, 64), rank, num_iters=sweeps, num_grad_steps=grad_steps, solver=solver).double()
    layer.init.u0, layer.init.v0 = inputs[f"r{rank}.u0"].double(), inputs[f"r{rank}.v0"].double()
    return layer


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("solver", ["hals", "mu"])
@pytest.mark.parametrize("rank", [1, 2])
def test_only_the_last_sweeps_are_differentiated(solver, rank, steps):
    inputs = reference.load("nmf/inputs_8x64.safetensors")
    expected = reference.load("nmf/truncated_grad_8x64.safetensors")
    regular = [4, 12]
    x = inputs["X"][regular].double().requires_grad_(True)
    reconstruction = _layer(rank, 5, steps, solver)(x)
    (gradient,) = torch.autograd.grad(torch.sin(reconstruction).sum(), x)
    torch.testing.assert_close(
        gradient[..., inputs["cols"]],
        expected[f"{solver}.r{rank}.t5.g{steps}.grad64"][regular],
        rtol=1e-9,
        atol=1e-11,
    )


@pytest.mark.parametrize("eps", [1e-16, 1e-8])
@pytest.mark.parametrize("sweeps", [1, 2, 5])
@pytest.mark.parametrize("size", ["8x64", "12x6", "8x512"])
def test_the_projection_form_equals_the_sweeps(size, sweeps, eps):
    inputs = reference.load(f"nmf/inputs_{size}.safetensors")
    nonnegative = [row for row in range(16) if row != 11]
    rows, columns = inputs["X"].shape[1:]
    layer = NMF((rows, columns), 1, num_iters=sweeps, eps=eps).double()
    layer.init.v0 = inputs["r1.v0"].double()
    x = inputs["X"][nonnegative].double().requires_grad_(True)

    by_sweeps = layer(x)
    projected = layer.reconstruct(*rank_one_factors(x, layer.init.v0[:, 0], sweeps, eps))

    scale = by_sweeps.flatten(1).norm(dim=1)
    assert ((projected - by_sweeps).flatten(1).norm(dim=1) <= 1e-12 * scale).all()
    regular = [row for row in range(15) if scale[row] > 1e-3]
    gradients = [
        torch.autograd.grad(torch.sin(y[regular]).sum(), x, retain_graph=True)[0][regular]
        for y in (by_sweeps, projected)
    ]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_zero_matrices_reconstruct_to_zeros(dtype):
    u, v = rank_one_factors(torch.zeros(3, 8, 512, dtype=dtype), torch.rand(512), 5, 1e-16)
    assert (u @ v.mT).isfinite().all()
    assert (u @ v.mT).abs().max() < 1e-12


def test_rank_follows_from_the_compression():
    assert NMF((16, 256), compression=4).rank == 4


def test_nndsvd_starts_are_nonnegative_and_fit_better_than_random_ones():
    x = torch.rand(5, 8, 64, dtype=torch.float64)
    informed = NMF((8, 64), 3, init="nndsvd", num_iters=1)
    u, v = informed.init(x)
    assert (u >= 0).all() and (v >= 0).all()
    random = NMF((8, 64), 3, num_iters=1).double()
    assert (informed(x) - x).norm() < (random(x) - x).norm()
