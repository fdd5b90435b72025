"""Whole networks against recorded outputs, decoder features and gradients."""

from __future__ import annotations

import pytest
import torch

from engine import reference
from factorizer_engine.factorization import Matricize, SWMatricize
from factorizer_engine.networks import Factorizer, named_mixers


def _network(config: dict) -> Factorizer:
    reshape = dict(config["reshape"])
    kind = SWMatricize if reshape.pop("kind") == "swin" else Matricize
    stages = len(config["width"])
    return Factorizer(
        config["cin"],
        config["cout"],
        config["spatial"],
        encoder_depth=config.get("depth", [1] * stages),
        encoder_width=config["width"],
        strides=config["strides"],
        decoder_depth=config.get("ddepth", [1] * (stages - 1)),
        reshape=(kind, reshape),
        rank=config["rank"],
        num_iters=config["num_iters"],
        init=config["init"],
        solver=config["solver"],
        mlp_ratio=config["mlp_ratio"],
        num_deep_supr=config.get("num_deep_supr"),
    )


def _strided(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Every n-th voxel, so that the shape becomes that of `like`."""
    steps = [-(-a // b) for a, b in zip(x.shape[2:], like.shape[2:], strict=True)]
    return x[(slice(None), slice(None), *(slice(None, None, step) for step in steps))]


@pytest.mark.parametrize("name", reference.present("networks"))
def test_outputs_features_and_gradients_are_the_recorded_ones(name):
    tensors, entry = reference.load(name), reference.MANIFEST["networks"][name]
    network = _network(entry["config"])
    network.load_state_dict(reference.state_of(tensors))
    assert list(network.state_dict()) == entry["state_dict_order"]
    x = tensors["input_q"].float() / 32
    tolerance = 1e-4 if "rank4" in name else 1e-5

    with torch.no_grad():
        features, outputs = network.features(x), network(x)
    for j, feature in enumerate(features):
        if f"feature.{j}" in tensors:
            expected = tensors[f"feature.{j}"]
            assert reference.relative(_strided(feature, expected), expected) < tolerance
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for j, output in enumerate(outputs):
        expected = tensors.get(f"output.{j}", tensors.get("output"))
        assert reference.relative(output, expected) < tolerance

    if "cotangent" in tensors:
        (network(x) * tensors["cotangent"]).sum().backward()
        for key, parameter in network.named_parameters():
            assert reference.relative(parameter.grad, tensors[f"grad.{key}"]) < 1e-3, key

    with torch.no_grad():
        outputs = network.double()(x.double())
    for j, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        expected = tensors.get(f"output64_strided.{j}", tensors.get("output64_strided"))
        assert reference.relative(_strided(output, expected), expected) < 1e-12


def test_published_settings_have_the_published_number_of_parameters():
    def parameters(spatial, head_dim, patch, shifts, ratio, channels, **kwargs):
        network = Factorizer(
            *channels,
            (spatial,) * 3,
            reshape=(
                SWMatricize,
                {"head_dim": head_dim, "patch_size": patch, "shifts": shifts},
            ),
            mlp_ratio=ratio,
            **kwargs,
        )
        return sum(p.numel() for p in network.parameters())

    paper = {"num_deep_supr": 3, "downsample_bias": False}
    assert parameters(128, 8, 8, (None, 4), 2, (4, 3), **paper) == 5_855_241
    assert parameters(64, 4, 4, (None, 2), 4, (2, 1), **paper) == 7_371_523
    assert parameters(128, 8, 8, (None, 2, 4, 6), 4, (4, 3)) == 7_603_459
    assert parameters(64, 8, 4, (None, 1, 2, 3), 4, (2, 1)) == 7_372_289


def test_another_spatial_size_is_refused_with_both_sizes_named():
    network = Factorizer(
        1,
        1,
        (8, 8),
        encoder_depth=(1,),
        encoder_width=(8,),
        strides=(1,),
        decoder_depth=(),
        reshape=(Matricize, {"head_dim": 8, "patch_size": 4}),
    )
    with pytest.raises(ValueError, match=r"\(8, 8\).*\(8, 12\)"):
        network(torch.zeros(1, 1, 8, 12))


@pytest.mark.parametrize(
    "changes", [{"strides": (1,)}, {"encoder_depth": (1,)}, {"decoder_depth": (1, 1)}]
)
def test_every_stage_needs_its_numbers(changes):
    stages = {"encoder_depth": (1, 1), "encoder_width": (8, 16), "strides": (1, 2)}
    with pytest.raises(ValueError, match="need a number for every stage"):
        Factorizer(1, 1, (8, 8), **{**stages, "decoder_depth": (1,), **changes})


def test_mixers_are_named_by_stage_and_block():
    network = Factorizer(
        1,
        1,
        (16, 16),
        (1, 2),
        (8, 8),
        (1, 2),
        (1,),
        reshape=(Matricize, {"head_dim": 8, "patch_size": 4}),
    )
    names = [name for name, _ in named_mixers(network)]
    assert names == ["encoder.0.0", "encoder.1.0", "encoder.1.1", "decoder.0.0"]


def test_deep_supervision_has_a_head_for_each_of_the_finest_resolutions():
    network = Factorizer(
        1,
        2,
        (16, 16),
        (1, 1, 1),
        (8, 8, 8),
        (1, 2, 2),
        (1, 1),
        reshape=(Matricize, {"head_dim": 8, "patch_size": 4}),
        num_deep_supr=2,
    )
    outputs = network(torch.zeros(1, 1, 16, 16))
    assert [tuple(o.shape[2:]) for o in outputs] == [(16, 16), (8, 8)]
