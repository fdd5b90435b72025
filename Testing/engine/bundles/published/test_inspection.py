"""What the tensors of a checkpoint tell about its network, and what they do not."""

from __future__ import annotations

import pytest
import torch

from engine import reference
from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.bundles.published.inspection import inspect_state
from factorizer_engine.bundles.reading.weights import read_checkpoint
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.errors import BadModelError

LEGACY = reference.FOLDER / "legacy"


def state_of(**arguments):
    settings = {
        "in_channels": 2,
        "out_channels": 3,
        "spatial_size": [16, 32, 16],
        "encoder_depth": [1, 2, 1],
        "encoder_width": [8, 16, 24],
        "strides": [1, 2, 2],
        "decoder_depth": [2, 1],
        "reshape": ["SWMatricize", {"head_dim": 4, "patch_size": 4}],
        "rank": 2,
        "mlp_ratio": 1.5,
        **arguments,
    }
    return build_network(NetworkSpec("Factorizer", settings)).state_dict()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_deep_supr": 3},
        {"downsample_bias": False},
        {"adapter_kernel": 3},
        {"strides": [1, 4, 1]},
        {"mlp_ratio": 4, "rank": 1},
        {"pos_embed": False},
        {"reshape": ["SWMatricize", {"num_heads": 4, "patch_size": 4}]},
        {"reshape": ["Matricize", {"head_dim": 8, "grid_size": 1}]},
        {"reshape": ["Matricize", {"head_dim": 8, "grid_size": 2}]},
    ],
)
def test_a_network_of_the_same_shapes_is_rebuilt_from_its_tensors(arguments):
    state = state_of(**arguments)
    again = build_network(
        inspect_state(state, preset={"spatial_size": [16, 32, 16]}).network
    ).state_dict()
    assert {k: t.shape for k, t in again.items()} == {k: t.shape for k, t in state.items()}


def test_what_the_tensors_tell_is_not_reported_as_uncertain():
    inspection = inspect_state(state_of())
    values = {name: setting.value for name, setting in inspection.settings.items()}
    assert values["spatial_size"] == [16, 32, 16]
    assert values["encoder_depth"] == [1, 2, 1]
    assert values["decoder_depth"] == [2, 1]
    assert (values["head_dim"], values["patch_size"]) == (4, 4)
    assert (values["rank"], values["mlp_ratio"]) == (2, 1.5)
    uncertain = {line.split()[0] for line in inspection.report}
    assert uncertain == {"reshape", "shifts", "num_iters", "solver", "act"}


def test_without_a_position_embedding_the_window_is_reported_as_assumed():
    inspection = inspect_state(state_of(pos_embed=False))
    assert any(line.startswith("spatial_size is") for line in inspection.report)


def test_settings_stored_in_the_checkpoint_go_before_presets_and_defaults():
    checkpoint = read_checkpoint(LEGACY / "lightning_like.ckpt")
    preset = {"shifts": [None, 3], "num_iters": 9}
    inspection = inspect_state(checkpoint.state, checkpoint.hyper_parameters, preset)
    sources = {name: setting.source for name, setting in inspection.settings.items()}
    assert inspection.settings["num_iters"].value == 5
    assert (sources["num_iters"], sources["reshape"]) == ("checkpoint", "checkpoint")
    assert (sources["shifts"], sources["solver"]) == ("preset", "default")
    assert inspection.version == "0.0.1"
    assert inspection.network.arguments["eps"] == 1e-8
    assert inspection.stated["spacing"] == [2.0, 2.0, 2.0]


def test_stated_settings_that_contradict_the_tensors_are_reported():
    inspection = inspect_state(state_of(), {"network": {"in_channels": 5, "rank": 2}})
    assert inspection.network.arguments["in_channels"] == 2
    (conflict,) = inspection.conflicts
    assert "in_channels is 5" in conflict


def test_other_networks_are_refused():
    with pytest.raises(BadModelError, match="not those of a Factorizer"):
        inspect_state(torch.nn.Conv3d(1, 2, 3).state_dict())
    state = state_of()
    del state["encoder.blocks.1.block.blocks.0.norm1.norm.weight"]
    with pytest.raises(BadModelError, match="not those of a Factorizer"):
        inspect_state(state)


def test_windows_that_are_no_cubes_must_be_stated():
    state = state_of(reshape=["SWMatricize", {"head_dim": 4, "patch_size": [2, 4, 4]}])
    with pytest.raises(BadModelError, match="size of the network's windows"):
        inspect_state(state)
    stated = inspect_state(state, preset={"patch_size": [2, 4, 4]})
    assert build_network(stated.network).state_dict().keys() == state.keys()
