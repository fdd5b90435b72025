"""Networks of version 0.0.1 and 0.0.2 give the recorded outputs under today's names."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from engine import reference
from factorizer_engine.bundles.architecture import build_network, load_state
from factorizer_engine.bundles.published.inspection import inspect_state
from factorizer_engine.bundles.published.legacy import convert_legacy_state, legacy_version

NETWORKS = {
    "swin_paper_style": {"reshape": "SWMatricize", "shifts": [None, 2]},
    "local_default_bias": {"reshape": "Matricize"},
    "global_2d_depth2": {"reshape": "Matricize"},
}


def recorded(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    tensors = reference.load(f"legacy/v001_{name}.safetensors")
    return tensors, reference.state_of(tensors)


def outputs(network: nn.Module, state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    network = network.to(x.dtype).eval()
    load_state(network, {key: tensor.to(x.dtype) for key, tensor in state.items()})
    with torch.no_grad():
        output = network(x)
    return [output] if isinstance(output, Tensor) else list(output)


def version_002(key: str) -> str:
    """A key of 0.0.1 as 0.0.2 had it: named stages, but still unnamed block halves."""
    match = re.fullmatch(r"((en|de)coder\.blocks\.(\d+))\.blocks\.(\d+)\.(.+)", key)
    if match is None:
        return key
    stage, side, number, index, tail = match.groups()
    is_after_convolution = side == "en" and number != "0"
    if is_after_convolution and index == "0":
        return f"{stage}.downsample.{tail}"
    if tail.startswith("blocks."):
        return f"{stage}.block.blocks.{int(index) - is_after_convolution}.{tail}"
    return f"{stage}.block.{tail.replace('adapter.0.', 'adapter.')}"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", NETWORKS)
def test_old_networks_reproduce_their_outputs(name, dtype, tolerance):
    tensors, state = recorded(name)
    inspection = inspect_state(state, preset=NETWORKS[name])
    found = outputs(build_network(inspection.network), state, tensors["input_q"].to(dtype) / 32)
    key = "output" if dtype == torch.float32 else "output64"
    compared = 0
    for level, output in enumerate(found):
        if f"{key}.{level}" in tensors:
            assert reference.relative(output, tensors[f"{key}.{level}"]) < tolerance
            compared += 1
        if f"{key}_strided.{level}" in tensors:
            expected = tensors[f"{key}_strided.{level}"]
            stride = output.shape[-1] // expected.shape[-1]
            sampled = output[(..., *[slice(None, None, stride)] * (output.ndim - 2))]
            assert reference.relative(sampled, expected) < tolerance
            compared += 1
    assert compared == len(found)


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_of_002_lead_to_the_same_network(name):
    _, state = recorded(name)
    newer = {version_002(key): tensor for key, tensor in state.items()}
    assert legacy_version(state) == "0.0.1"
    assert legacy_version(newer) == "0.0.2"
    expected = convert_legacy_state(state)
    found = convert_legacy_state(newer)
    assert found.keys() == expected.keys()
    assert all(found[key] is expected[key] for key in found)


def test_todays_keys_stay_as_they_are(network):
    state = network.state_dict()
    assert legacy_version(state) is None
    assert convert_legacy_state(state) == dict(state)


def test_missing_biases_of_strided_convolutions_count_as_zero():
    tensors, state = recorded("swin_paper_style")
    spec = inspect_state(state, preset=NETWORKS["swin_paper_style"]).network
    arguments = {**spec.arguments, "downsample_bias": True}
    network = build_network(type(spec)(spec.target, arguments))
    (finest, *_) = outputs(network, state, tensors["input_q"].float() / 32)
    assert reference.relative(finest, tensors["output.0"]) < 1e-5


def test_one_head_is_taken_from_many():
    tensors, state = recorded("swin_paper_style")
    spec = inspect_state(state, preset=NETWORKS["swin_paper_style"]).network
    arguments = {**spec.arguments, "num_deep_supr": None}
    (only,) = outputs(
        build_network(type(spec)(spec.target, arguments)), state, tensors["input_q"] / 32
    )
    assert reference.relative(only, tensors["output.0"]) < 1e-5


def test_old_names_chosen_by_the_user_are_understood():
    _, state = recorded("swin_paper_style")
    renamed = {
        key.replace("blocks.nmf.", "blocks.mixer.").replace("blocks.mlp.", "blocks.channels."): t
        for key, t in state.items()
    }
    assert convert_legacy_state(renamed).keys() == convert_legacy_state(state).keys()
