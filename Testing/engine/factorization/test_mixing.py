"""The fast rank-1 mixing layer against its definition, sweep by sweep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine import reference
from factorizer_engine.factorization import NMF, Matricize, SWMatricize
from factorizer_engine.factorization.mixing import mix_rank_one

LAYERS = {
    "swin, two grids": (SWMatricize, (16, 8, 8, 8), {"head_dim": 8, "patch_size": 4}),
    "swin, four grids": (
        SWMatricize,
        (8, 8, 16, 8),
        {"head_dim": 8, "patch_size": 8, "shifts": (None, 2, 4, 6)},
    ),
    "shift per axis, either sign": (
        SWMatricize,
        (4, 4, 6, 8),
        {"head_dim": 2, "patch_size": (2, 3, 4), "shifts": (None, (1, 1, 1), (0, 2, -3))},
    ),
    "odd sizes": (SWMatricize, (6, 9, 15, 6), {"head_dim": 3, "patch_size": 3}),
    "local": (Matricize, (8, 8, 4, 8), {"head_dim": 4, "patch_size": 4}),
    "global": (Matricize, (8, 4, 6, 5), {"head_dim": 4, "grid_size": 1}),
    "two dimensions": (SWMatricize, (8, 12, 8), {"head_dim": 4, "patch_size": 4}),
    "heads beyond one Gram group": (SWMatricize, (72, 4, 4), {"head_dim": 8, "patch_size": 2}),
    "head wider than a Gram group": (Matricize, (48, 4, 4), {"head_dim": 48, "grid_size": 1}),
}


def _by_definition(x: Tensor, layer: Matricize, nmf: NMF) -> Tensor:
    return layer.inverse_forward(nmf(layer(torch.relu(x))))


def _setup(name: str, batch: int, dtype: torch.dtype) -> tuple[Tensor, Matricize, NMF]:
    torch.manual_seed(0)
    layer_class, size, arguments = LAYERS[name]
    layer = layer_class(size, **arguments)
    x = torch.randn(batch, *size, dtype=dtype)
    x[:, :, : size[1] // 2] *= torch.rand(batch, size[0], *[1] * (len(size) - 1)) < 0.5
    return x, layer, NMF(layer.output_size[2:], 1).to(dtype)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_output_and_gradient_equal_the_definition(name, batch):
    x, layer, nmf = _setup(name, batch, torch.float64)
    results = []
    for mix in (
        lambda x: _by_definition(x, layer, nmf),
        lambda x: mix_rank_one(x, layer, nmf.init.v0[:, 0], nmf.num_iters, nmf.eps),
    ):
        leaf = x.clone().requires_grad_(True)
        output = mix(leaf)
        torch.sin(output).sum().backward()
        results.append((output, leaf.grad))
    assert reference.relative(results[1][0], results[0][0]) < 1e-12
    assert reference.relative(results[1][1], results[0][1]) < 1e-11


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-6), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)],
)
@pytest.mark.parametrize("name", ["swin, two grids", "two dimensions"])
def test_every_precision_is_as_accurate_as_its_rounding(name, dtype, tolerance):
    x, layer, nmf = _setup(name, 2, torch.float64)
    mixed = mix_rank_one(x.to(dtype), layer, nmf.init.v0[:, 0].float(), nmf.num_iters, nmf.eps)
    assert mixed.dtype == dtype
    assert reference.relative(mixed, _by_definition(x.to(dtype).double(), layer, nmf)) < tolerance


def test_memory_layout_does_not_matter():
    x, layer, nmf = _setup("swin, two grids", 2, torch.float32)
    v0 = nmf.init.v0[:, 0]
    strided = x.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(
        mix_rank_one(x, layer, v0, 5, 1e-16), mix_rank_one(strided, layer, v0, 5, 1e-16)
    )


def test_a_map_of_another_size_is_refused():
    _, layer, nmf = _setup("local", 1, torch.float32)
    with pytest.raises(ValueError, match="takes"):
        mix_rank_one(torch.zeros(1, 8, 8, 8, 8), layer, nmf.init.v0[:, 0], 5, 1e-16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zero_windows_give_zeros_in_every_precision(dtype):
    x, layer, nmf = _setup("swin, two grids", 1, torch.float32)
    mixed = mix_rank_one(torch.zeros_like(x, dtype=dtype), layer, nmf.init.v0[:, 0], 5, 1e-16)
    assert mixed.isfinite().all()
    assert mixed.float().abs().max() < 1e-12


def test_zero_windows_stay_finite_in_the_gradient():
    x, layer, nmf = _setup("swin, two grids", 1, torch.float32)
    x = torch.zeros_like(x).requires_grad_(True)
    mix_rank_one(x, layer, nmf.init.v0[:, 0], 5, 1e-16).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("exponent", range(-16, 3, 2))
def test_a_single_positive_voxel_has_the_gradient_of_the_definition(exponent):
    """Where a product of the factors is about as small as eps, squares of it leave float32."""
    _, layer, nmf = _setup("local", 1, torch.float32)
    v0 = nmf.init.v0[:, 0].clone()
    v0[0] = 1e-3
    x = torch.zeros(1, 8, 8, 4, 8)
    x[0, 3, 0, 0, 0] = 10.0**exponent
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype, copy=True).requires_grad_(True)
        mix_rank_one(leaf, layer, v0.to(dtype), 5, 1e-16).sum().backward()
        gradients.append(leaf.grad)
    assert reference.relative(*gradients) < 1e-5


def test_a_layer_can_be_trained_after_it_was_used_for_inference():
    layer = SWMatricize((8, 12, 4, 4), head_dim=8, patch_size=4)
    x, v0 = torch.randn(1, 8, 12, 4, 4, requires_grad=True), torch.ones(64)
    with torch.inference_mode():
        mix_rank_one(x, layer, v0, 5, 1e-16)
    mix_rank_one(x, layer, v0, 5, 1e-16).sum().backward()
    assert x.grad.isfinite().all()
