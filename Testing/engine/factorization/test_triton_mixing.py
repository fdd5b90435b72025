"""The fused kernels of the rank-1 mixing layer against its definition.

They run on a GPU, or, in a process with TRITON_INTERPRET=1, in Triton's interpreter on the CPU:
`test_triton_fallback` starts such a process. Otherwise they are skipped.
"""

from __future__ import annotations

import importlib
import os

import pytest
import torch
from torch import Tensor

from engine import reference
from factorizer_engine.factorization import Matricize, SWMatricize, triton_mixing
from factorizer_engine.factorization.rank_one import rank_one_factors

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not INTERPRETED and not torch.cuda.is_available(), reason="needs a CUDA device"
    ),
]

LAYERS = {
    "three dimensions": (SWMatricize, (8, 4, 8, 4), {"head_dim": 8, "patch_size": 4}),
    "two dimensions": (SWMatricize, (12, 8, 4), {"head_dim": 4, "patch_size": 4}),
    "one dimension": (SWMatricize, (8, 12), {"head_dim": 4, "patch_size": 6}),
    "odd sizes": (SWMatricize, (6, 3, 9, 3), {"head_dim": 3, "patch_size": 3}),
    "shift per axis, either sign": (
        SWMatricize,
        (4, 4, 3, 8),
        {"head_dim": 2, "patch_size": (2, 3, 4), "shifts": (None, (1, 1, 1), (0, 2, -3))},
    ),
    "no unshifted grid": (
        SWMatricize,
        (4, 6, 8),
        {"head_dim": 4, "patch_size": (3, 4), "shifts": ((1, 3),)},
    ),
    "local": (Matricize, (8, 8, 4), {"head_dim": 4, "patch_size": 4}),
    "global": (Matricize, (8, 5, 7, 3), {"head_dim": 4, "grid_size": 1}),
    "heads beyond one group": (Matricize, (72, 4, 8), {"head_dim": 8, "patch_size": 4}),
    "head wider than a group": (Matricize, (48, 4, 4), {"head_dim": 48, "grid_size": 1}),
}


def _by_definition(x: Tensor, layer: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
    u, v = rank_one_factors(layer(torch.relu(x)), v0, sweeps, eps)
    return layer.inverse_forward(u @ v.mT)


def _no_plain_form(*_) -> Tensor:
    raise AssertionError("A kernel failed.")


def _fused(x: Tensor, layer: Matricize, v0: Tensor, sweeps: int = 5, eps: float = 1e-16) -> Tensor:
    assert triton_mixing.is_available(x, layer)
    return triton_mixing.mix_rank_one_fused(x, layer, v0, sweeps, eps, _no_plain_form)


def _setup(name: str, batch: int = 1) -> tuple[Tensor, Matricize, Tensor]:
    """A map with a zero window at its beginning, the layer, and a starting factor."""
    torch.manual_seed(0)
    layer_class, size, arguments = LAYERS[name]
    layer = layer_class(size, **arguments)
    x = torch.randn(batch, *size)
    if len(layer.grid_size) > 1 and layer.grid_size[0] * layer.grid_size[1] > 1:
        x[(..., *(slice(p) for p in layer.patch_size))] = 0
    return x.to(DEVICE), layer, (torch.rand(layer.output_size[3]) + 0.1).to(DEVICE)


def _with_gradients(mix, x: Tensor, v0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output and the gradients of x and v0 of a loss that weights every voxel differently."""
    x, v0 = x.clone().requires_grad_(True), v0.clone().requires_grad_(True)
    output = mix(x, v0)
    weight = torch.linspace(-1, 2, output.numel(), device=output.device)
    loss = (output * weight.view_as(output).to(output.dtype)).sum()
    return output.detach(), *torch.autograd.grad(loss, (x, v0))


@pytest.mark.parametrize("name", LAYERS)
def test_output_and_gradient_equal_the_definition(name):
    x, layer, v0 = _setup(name, batch=2 if name in ("three dimensions", "one dimension") else 1)
    found = _with_gradients(lambda x, v0: _fused(x, layer, v0), x, v0)
    expected = _with_gradients(
        lambda x, v0: _by_definition(x, layer, v0, 5, 1e-16), x.double(), v0.double()
    )
    assert reference.relative(found[0], expected[0]) < 1e-5
    assert reference.relative(found[1], expected[1]) < 1e-5


@pytest.mark.skipif(not INTERPRETED, reason="is what a GPU does anyway, where it can")
def test_float32_split_in_two_parts_for_tensor_cores_is_as_exact(monkeypatch):
    launcher = importlib.import_module("factorizer_engine.factorization.triton_launcher")
    monkeypatch.setattr(launcher, "_has_tensor_cores", lambda _: True)
    test_output_and_gradient_equal_the_definition("two dimensions")


# With more sweeps the start is almost forgotten, and what is left of its gradient is rounding.
@pytest.mark.parametrize("eps", [1e-16, 1e-2])
@pytest.mark.parametrize("sweeps", [1, 2])
def test_the_gradient_of_the_start_equals_the_definition(sweeps, eps):
    x, layer, v0 = _setup("two dimensions", batch=2)
    found = _with_gradients(lambda x, v0: _fused(x, layer, v0, sweeps, eps), x, v0)
    expected = _with_gradients(
        lambda x, v0: _by_definition(x, layer, v0, sweeps, eps), x.double(), v0.double()
    )
    for one, other in zip(found, expected, strict=True):
        assert reference.relative(one, other) < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize("name", ["three dimensions", "one dimension"])
def test_half_precision_is_as_accurate_as_its_rounding(name, dtype, tolerance):
    x, layer, v0 = _setup(name)
    x = x.to(dtype)
    found = _with_gradients(lambda x, v0: _fused(x, layer, v0), x, v0)
    expected = _with_gradients(
        lambda x, v0: _by_definition(x, layer, v0, 5, 1e-16), x.double(), v0.double()
    )
    assert found[0].dtype == found[1].dtype == dtype
    assert reference.relative(found[0], expected[0]) < tolerance
    assert reference.relative(found[1], expected[1]) < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zeros_stay_zeros_and_get_no_gradient(dtype):
    x, layer, v0 = _setup("two dimensions")
    output, x_gradient, _ = _with_gradients(
        lambda x, v0: _fused(x, layer, v0), torch.zeros_like(x, dtype=dtype), v0
    )
    assert output.isfinite().all() and output.float().abs().max() < 1e-12
    assert (x_gradient == 0).all()


@pytest.mark.parametrize("exponent", [-12, -8, -5, -4, -3])
def test_a_single_positive_voxel_has_the_gradient_of_the_definition(exponent):
    x, layer, v0 = _setup("local")
    v0[0] = 1e-3
    x = torch.zeros_like(x)
    x[0, 3, 0, 0] = 10.0**exponent
    found = _with_gradients(lambda x, v0: _fused(x, layer, v0), x, v0)
    expected = _with_gradients(
        lambda x, v0: _by_definition(x, layer, v0, 5, 1e-16), x.double(), v0.double()
    )
    assert reference.relative(found[1], expected[1]) < 1e-5


def test_nan_is_not_hidden():
    x, layer, v0 = _setup("local")
    x[0, 5, 7, 3] = torch.nan
    mixed = _fused(x, layer, v0)
    assert mixed[0, 4:, 4:].isnan().all()
    assert mixed[0, :, :4].isfinite().all() and mixed[0, :4].isfinite().all()


def test_memory_layout_does_not_matter_and_results_repeat_exactly():
    x, layer, v0 = _setup("two dimensions")
    strided = x.contiguous(memory_format=torch.channels_last)
    results = [_with_gradients(lambda x, v0: _fused(x, layer, v0), m, v0) for m in (x, x, strided)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert results[0][0].movedim(1, -1).is_contiguous()


def test_autocast_and_inference_change_nothing():
    x, layer, v0 = _setup("two dimensions")
    expected = _fused(x, layer, v0)
    with torch.autocast(DEVICE, dtype=torch.bfloat16), torch.inference_mode():
        assert torch.equal(_fused(x, layer, v0), expected)


def test_a_gradient_of_the_map_alone_is_computed():
    x, layer, v0 = _setup("one dimension")
    leaf = x.clone().requires_grad_(True)
    _fused(leaf, layer, v0).sum().backward()
    both = _with_gradients(lambda x, v0: _fused(x, layer, v0), x, v0)
    assert leaf.grad.isfinite().all() and leaf.grad.shape == both[1].shape


def test_what_the_kernels_cannot_compute_is_left_to_the_plain_form():
    x, layer, _ = _setup("two dimensions")
    wide = Matricize((256, 4), head_dim=256, patch_size=4)
    assert triton_mixing.is_available(x, layer)
    assert not triton_mixing.is_available(x.double(), layer)
    assert not triton_mixing.is_available(x[..., :-1], layer)
    assert not triton_mixing.is_available(x[:0], layer)
    assert not triton_mixing.is_available(torch.zeros(1, 256, 4, device=DEVICE), wide)
