"""Every solver against recorded factors, reconstructions and gradients, in float64 and float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine import reference
from factorizer_engine.factorization.solvers import Solver, make_solver

QUANTITIES = ("u", "v", "recon", "grad")
# The exact line search meets the ReLU threshold in the last bit here, in the original too.
THRESHOLD_FLIPS = {("nmf/pg_relu_8x64.safetensors", "r2.t5", 7, "grad", 32)}


def _cases() -> list[tuple[str, str]]:
    cases = []
    for name in reference.present("nmf"):
        prefixes = {key.rsplit(".", 1)[0] for key in reference.load(name)}
        cases += [(name, prefix) for prefix in sorted(prefixes) if prefix.startswith("r")]
    return cases


def _solve(solver: Solver, x: Tensor, u: Tensor, v: Tensor, sweeps: int) -> list[Tensor] | None:
    """u, v, reconstruction and gradient of its summed sine; None where no solution exists."""
    x = x.clone().requires_grad_(True)
    try:
        for _ in range(sweeps):
            u, v = solver(x, u, v)
        reconstruction = u @ v.mT
        (gradient,) = torch.autograd.grad(torch.sin(reconstruction).sum(), x)
    except torch.linalg.LinAlgError:
        return None
    return [u.detach(), v.detach(), reconstruction.detach(), gradient]


@pytest.mark.parametrize(("name", "prefix"), _cases())
def test_a_solver_reproduces_the_recorded_numbers(name, prefix):
    entry, expected = reference.MANIFEST["nmf"]["results"][name], reference.load(name)
    rows, columns = entry["size"]
    inputs = reference.load(f"nmf/inputs_{rows}x{columns}.safetensors")
    rank, sweeps = (int(part[1:]) for part in prefix.split("."))
    solver_name, _, eps = entry["solver"].partition("_eps")
    solver = make_solver(solver_name, eps=float(eps or 1e-16))
    kept = inputs["cols"]

    for row in range(len(inputs["X"])):
        for bits, dtype in ((64, torch.float64), (32, torch.float32)):
            start = (inputs[f"r{rank}.{factor}0"].to(dtype) for factor in "uv")
            found = _solve(solver, inputs["X"][row].to(dtype), *start, sweeps)
            if found is None:
                assert expected[f"{prefix}.status"][row, 0] != 1 or bits == 32
                continue
            stored_v = expected[f"{prefix}.v64"].shape[1]
            selected = [
                found[0],
                found[1] if stored_v == columns else found[1][kept],
                found[2][:, kept],
                found[3][:, kept],
            ]
            for index, (quantity, value) in enumerate(zip(QUANTITIES, selected, strict=True)):
                if (name, prefix, row, quantity, bits) in THRESHOLD_FLIPS:
                    continue
                noise = float(expected[f"{prefix}.noise{bits}"][row, index])
                tolerance = 1e-12 + 100 * noise if bits == 64 else 1e-5 + 10 * noise
                target = expected[f"{prefix}.{quantity}64"][row]
                if not torch.isfinite(target).all() or not noise < (1e-8 if bits == 64 else 0.03):
                    continue
                distance = (value.double() - target).norm()
                norm = expected[f"{prefix}.norm64"][row, index]
                assert distance <= tolerance * norm, (quantity, row, bits)


def _variant_solver(name: str) -> Solver:
    parts = name.removeprefix("compose_").split("_")
    return make_solver(parts if name.startswith("compose") else parts[0])


VARIANTS = ["compose_hals-0_cd-1", "compose_hals-1_hals-0", "compose_mu_hals", "hals-0", "hals-1"]


@pytest.mark.parametrize("name", [*VARIANTS, "mu-0", "mu-1"])
def test_one_factor_and_composed_solvers_reproduce_the_recorded_numbers(name):
    inputs = reference.load("nmf/inputs_8x64.safetensors")
    expected = reference.load("nmf/variants_8x64.safetensors")
    solver = _variant_solver(name)
    for row in range(16):
        start = inputs["r2.u0"].double(), inputs["r2.v0"].double()
        found = _solve(solver, inputs["X"][row].double(), *start, 5)
        for index, (quantity, value) in enumerate(zip(("u", "v"), found[:2], strict=True)):
            noise = float(expected[f"{name}.noise64"][row, index])
            if 100 * noise <= 1e-6:
                target = expected[f"{name}.{quantity}64"][row]
                assert (value - target).norm() <= (1e-12 + 100 * noise) * target.norm()


def test_weighted_updates_reproduce_the_recorded_numbers():
    inputs = reference.load("nmf/inputs_8x64.safetensors")
    expected = reference.load("nmf/variants_8x64.safetensors")
    solver = make_solver("wmu")
    x, weight = inputs["X"][4].double(), expected["wmu.weight"][4].double()
    u, v = inputs["r2.u0"].double(), inputs["r2.v0"].double()
    for _ in range(5):
        u, v = solver(x, u, v, weight)
    torch.testing.assert_close(u, expected["wmu.u64"][4], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(v, expected["wmu.v64"][4], rtol=1e-9, atol=1e-12)


def test_an_unknown_solver_is_named_in_the_error():
    with pytest.raises(ValueError, match="'hales'"):
        make_solver("hales")
