"""Layers and blocks against recorded outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine import reference
from factorizer_engine.factorization import Matricize, SWMatricize
from factorizer_engine.networks import (
    MLP,
    AxialPositionalEmbedding,
    FactMixer,
    FactorizerBlock,
    FactorizerStage,
    LayerNorm,
    Linear,
    PositionalEmbedding,
    RotaryPositionalEmbedding,
    SinusoidalPositionalEmbedding,
)
from factorizer_engine.networks.layers import NeighborhoodConvolution

FOUR_GRIDS = (SWMatricize, {"head_dim": 8, "patch_size": 4, "shifts": (None, 1, 2, 3)})
GLOBAL = (Matricize, {"head_dim": 8, "grid_size": 1})
BLOCKS = {
    "factmixer3d_swin_r1": lambda: FactMixer(16, (8, 8, 8), FOUR_GRIDS, rank=1),
    "factmixer3d_local_r2": lambda: FactMixer(
        8, (4, 8, 6), (Matricize, {"head_dim": 4, "patch_size": (4, 4, 3)}), rank=2
    ),
    "factmixer3d_global_r4": lambda: FactMixer(16, (6, 4, 5), GLOBAL, rank=4),
    "factmixer2d_swin_mu": lambda: FactMixer(
        8, (8, 12), (SWMatricize, {"head_dim": 4, "patch_size": 4}), rank=2, solver="mu"
    ),
    "factmixer2d_compression": lambda: FactMixer(
        16, (16, 16), (Matricize, {"head_dim": 16, "grid_size": 1}), compression=4
    ),
    "block3d_swin": lambda: FactorizerBlock(16, (8, 8, 8), 4, reshape=FOUR_GRIDS, rank=1),
    "block3d_default_ratio": lambda: FactorizerBlock(
        8, (4, 4, 8), reshape=(Matricize, {"head_dim": 8, "patch_size": 4}), rank=1
    ),
    "block2d_global": lambda: FactorizerBlock(16, (12, 10), 3, reshape=GLOBAL, rank=2),
    "stage3d_adapter_pos_depth2": lambda: FactorizerStage(
        16,
        8,
        (4, 8, 8),
        depth=2,
        pos_embed=PositionalEmbedding,
        mlp_ratio=4,
        reshape=(SWMatricize, {"head_dim": 8, "patch_size": 4}),
        rank=1,
    ),
    "layernorm3d": lambda: LayerNorm(12),
    "linear3d": lambda: Linear(6, 10),
    "mlp3d": lambda: MLP(6, ratio=2.5),
    "pos_sinusoidal3d": lambda: SinusoidalPositionalEmbedding(8, (3, 4, 5)),
    "pos_rotary3d": lambda: RotaryPositionalEmbedding(8, (3, 4, 5)),
    "pos_axial3d": lambda: AxialPositionalEmbedding(8, (3, 4, 5)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_outputs_and_gradients_are_the_recorded_ones(name):
    tensors = reference.load(f"blocks/{name}.safetensors")
    module = BLOCKS[name]()
    module.load_state_dict(reference.state_of(tensors))

    x = tensors["input"].clone().requires_grad_(True)
    output = module(x)
    (output * tensors["cotangent"]).sum().backward()

    assert reference.relative(output, tensors["output"]) < 1e-5
    assert reference.relative(x.grad, tensors["grad_input"]) < 1e-5
    for key, parameter in module.named_parameters():
        assert reference.relative(parameter.grad, tensors[f"grad.{key}"]) < 1e-5, key

    x = tensors["input"].double().requires_grad_(True)
    output = module.double()(x)
    (output * tensors["cotangent"].double()).sum().backward()
    assert reference.relative(output, tensors["output64"]) < 1e-12
    assert reference.relative(x.grad, tensors["grad_input64"]) < 1e-12


def test_a_component_filter_reads_and_removes_components():
    torch.manual_seed(0)
    mixer = FactMixer(16, (8, 8, 8), FOUR_GRIDS, rank=1)
    x = torch.randn(1, 16, 8, 8, 8)
    fast = mixer(x)
    seen = []

    def read(u, v):
        seen.append((u, v))
        return u, v

    mixer.component_filter = read
    assert reference.relative(mixer(x), fast) < 1e-5
    ((u, v),) = seen
    assert u.shape == (4 * 2, 8, 8, 1) and v.shape == (4 * 2, 8, 64, 1)

    mixer.component_filter = lambda u, v: (torch.zeros_like(u), v)
    torch.testing.assert_close(
        mixer(x), mixer.out_proj.linear.bias.reshape(1, -1, 1, 1, 1).expand_as(x)
    )


def test_the_explicit_path_serves_other_activations():
    mixer = FactMixer(8, (8, 8, 8), FOUR_GRIDS, act=nn.Softplus, rank=1)
    assert not mixer.has_fast_path
    assert mixer(torch.randn(1, 8, 8, 8, 8)).isfinite().all()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_neighborhood_convolution_joins_two_maps_as_if_they_were_concatenated(dims, gradients):
    layer = NeighborhoodConvolution(dims, 7, 5, kernel_size=3)
    x, y = torch.randn(2, 3, *(6, 5, 4)[:dims]), torch.randn(2, 4, *(6, 5, 4)[:dims])
    convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[dims - 1]
    with torch.set_grad_enabled(gradients):
        expected = convolve(torch.cat((x, y), 1), layer.weight, padding=1)
        torch.testing.assert_close(layer.join(x, y), expected)
        torch.testing.assert_close(layer(torch.cat((x, y), 1)), expected)


@pytest.mark.parametrize("kernel_size", [-1, 0, 2])
def test_a_kernel_without_a_middle_is_refused(kernel_size):
    with pytest.raises(ValueError, match=f"kernel of {kernel_size} voxels"):
        NeighborhoodConvolution(3, 4, 4, kernel_size)
