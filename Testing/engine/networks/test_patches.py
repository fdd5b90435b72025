"""Patch convolutions, adapters and convolutions without gradients, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine import reference
from factorizer_engine.factorization import threads
from factorizer_engine.networks.layers import (
    Linear,
    NeighborhoodConvolution,
    PatchConvolution,
    TransposedPatchConvolution,
    channels_last,
)
from factorizer_engine.networks.parts import by_parts

CONVOLVE = F.conv1d, F.conv2d, F.conv3d
TRANSPOSED = F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d
GRID = 2, 3, 1
"""Patches along each axis; not a cube."""


@pytest.fixture(autouse=True, params=[1, 2])
def small_parts_in_threads(request, monkeypatch):
    """Several parts of every map, the last one smaller, in one thread and in two."""
    monkeypatch.setattr(threads, "LARGEST_PART", 700)
    monkeypatch.setattr(threads, "_SMALLEST_PART", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[False, True], ids=["without gradients", "with gradients"])
def gradients(request):
    with torch.set_grad_enabled(request.param):
        yield request.param


def _maps(batch: int, channels: int, size: tuple[int, ...]) -> list[Tensor]:
    """A map as networks hand it on, as users do, and as a part of a larger one."""
    x = torch.randn(batch, channels + 1, *size)[:, 1:]
    return [channels_last(x), x.contiguous(), x]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_patch_convolution_is_the_strided_convolution(dims, stride, batch, gradients):
    for bias in (True, False):
        layer = PatchConvolution(dims, 3, 5, stride, bias)
        for x in _maps(batch, 3, tuple(n * stride for n in GRID[:dims])):
            expected = CONVOLVE[dims - 1](x, layer.weight, layer.bias, stride)
            found = layer(x)
            assert found.shape == expected.shape and found.requires_grad == gradients
            assert reference.relative(found, expected) < 1e-5


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_transposed_patch_convolution_is_torchs(dims, stride, batch, gradients):
    layer = TransposedPatchConvolution(dims, 5, 3, stride)
    for x in _maps(batch, 5, GRID[:dims]):
        expected = TRANSPOSED[dims - 1](x, layer.weight, layer.bias, stride)
        found = layer(x)
        assert found.shape == expected.shape and found.requires_grad == gradients
        assert reference.relative(found, expected) < 1e-5


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [4, 100], ids=["few channels", "more than voxels"])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_joining_is_the_adapter_of_both_maps(dims, stride, channels, bias):
    upsample = TransposedPatchConvolution(dims, channels, 3, stride)
    adapter = Linear(6, 3, bias)
    size = tuple(n * stride for n in GRID[:dims])
    with torch.inference_mode():
        for x, skip in zip(_maps(2, channels, GRID[:dims]), _maps(2, 3, size), strict=True):
            before = skip.clone()
            upsampled = TRANSPOSED[dims - 1](x, upsample.weight, upsample.bias, stride)
            expected = adapter(torch.cat((skip, upsampled), dim=1))
            assert reference.relative(upsample.join(skip, x, adapter), expected) < 1e-5
            assert torch.equal(skip, before)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_convolution_of_any_size_is_torchs(dims, channels, gradients):
    for kernel in (1, 3, 5):
        layer = NeighborhoodConvolution(dims, channels, 6, kernel)
        for x in _maps(2, channels, (6, 7, 9)[:dims]):
            expected = CONVOLVE[dims - 1](x, layer.weight, padding=kernel // 2)
            assert reference.relative(layer(x), expected) < 1e-5


def test_double_precision_and_autocast_are_served_as_torch_does():
    layer = PatchConvolution(3, 3, 5, 2)
    x = torch.randn(1, 3, 4, 6, 2)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        exact = F.conv3d(x.double(), layer.weight.double(), layer.bias.double(), 2)
        assert reference.relative(layer.double()(x.double()), exact) < 1e-12


def test_maps_without_voxels_stay_empty():
    with torch.no_grad():
        assert by_parts(Linear(3, 5), torch.empty(0, 3, 4, 4)).shape == (0, 5, 4, 4)
        assert by_parts(Linear(3, 5), torch.empty(2, 3, 0, 4)).shape == (2, 5, 0, 4)
