"""The weights that a training begins with."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from engine.training.blobs import NETWORK
from engine.training.run.runs import REFERENCES, configured
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.training.config import NetworkSection, load_config
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.export.export import export
from factorizer_engine.training.run.beginning import (
    beginning_network,
    load_matching_weights,
    load_weights_of_model,
)
from factorizer_engine.training.run.networks import build_network, network_spec
from factorizer_engine.training.run.run import train

WINDOW = (16, 16, 16)


def network(inputs: int, **more):
    section = NetworkSection(arguments={**NETWORK, **more})
    return build_network(network_spec(section, inputs, 2, WINDOW), WINDOW).eval()


def test_linear_adapters_begin_as_the_centres_of_convolutions(tmp_path):
    linear, convolutional = network(1), network(1, adapter_kernel=3)
    torch.save({"network": linear.state_dict()}, tmp_path / "begun.pt")
    x = torch.randn(1, 1, *WINDOW)
    assert not torch.allclose(convolutional(x), linear(x))
    load_matching_weights(convolutional, tmp_path / "begun.pt")
    torch.testing.assert_close(convolutional(x), linear(x))


def test_networks_begin_with_what_they_found_without_prompts(tmp_path):
    plain, prompted = network(1), network(7)
    torch.save({"network": plain.state_dict()}, tmp_path / "begun.pt")
    load_matching_weights(prompted, tmp_path / "begun.pt")
    x, prompts = torch.randn(1, 1, *WINDOW), torch.rand(1, 6, *WINDOW)
    torch.testing.assert_close(prompted(torch.cat([x, prompts], 1)), plain(x))


def test_weights_of_more_inputs_do_not_fit_fewer(tmp_path):
    torch.save({"network": network(7).state_dict()}, tmp_path / "begun.pt")
    with pytest.raises(BadInputError, match="do not fit"):
        load_matching_weights(network(1), tmp_path / "begun.pt")


def test_weights_that_are_not_of_a_run_are_told_how_to_be_taken(tmp_path):
    torch.save(network(1).state_dict(), tmp_path / "model.pt")
    with pytest.raises(BadInputError, match=r"no checkpoint of a run; .* network\.model"):
        load_matching_weights(network(1), tmp_path / "model.pt")


@pytest.fixture(scope="module")
def model(finished_run, tmp_path_factory):
    """A model of blobs; it reads A and B and finds core and whole."""
    folder = tmp_path_factory.mktemp("models") / "blobs"
    return load_bundle(export(finished_run, folder).description.path)


@pytest.fixture
def going_on(settings, model):
    """A configuration that says of its network only with which model it begins."""
    for key in ("window", "preprocessing"):
        del settings[key]
    settings["network"] = {"model": str(model.description.path)}
    return settings


def begun(settings, write_config):
    config = configured(settings, write_config)
    return config, beginning_network(config, open_dataset(config.data)).eval()


def test_a_training_takes_network_window_and_preprocessing_from_a_model(
    going_on, write_config, model
):
    going_on["preprocessing"] = {"crop_margin": 7}
    config, network = begun(going_on, write_config)
    assert config.window == WINDOW
    assert config.network.arguments["encoder_width"] == [8, 16]
    assert config.preprocessing.crop_margin == 7, "what it says itself counts"
    assert config.preprocessing.normalization == model.preprocessing.normalization
    x = torch.randn(1, 2, *WINDOW)
    torch.testing.assert_close(network(x), build_networks(model)[0](x), rtol=0, atol=0)


def test_channels_and_regions_of_a_model_are_found_by_their_names(going_on, write_config, model):
    going_on["data"] |= {
        "channels": ["more", "b"],
        "regions": {"another": [1], "core": [2], "whole": [1, 2]},
    }
    _, network = begun(going_on, write_config)
    more, b = torch.randn(2, 1, 1, *WINDOW)
    theirs = build_networks(model)[0](torch.cat([torch.zeros_like(b), b], 1))
    ours = network(torch.cat([more, b], 1))
    torch.testing.assert_close(ours[:, 1:], theirs)
    assert not any(torch.allclose(ours[:, 0], t, atol=0.1) for t in theirs.unbind(1))


@pytest.mark.parametrize("network", REFERENCES, ids=lambda network: network["type"])
def test_networks_of_other_families_are_gone_on_from(settings, write_config, tmp_path, network):
    settings["network"], settings["optimization"]["steps"] = network, 1
    first = export(train(configured(settings, write_config)), tmp_path / "models" / "blobs")
    settings["network"] = {"model": str(first.description.path)}
    settings["data"]["regions"] = {"another": [1], "core": [2], "whole": [1, 2]}
    _, next_one = begun(settings, write_config)
    x = torch.randn(1, 2, *WINDOW)
    torch.testing.assert_close(
        next_one(x)[:, 1:], build_networks(load_bundle(tmp_path / "models" / "blobs"))[0](x)
    )


def test_a_model_of_other_sequences_is_not_gone_on_from(going_on, write_config):
    going_on["data"]["channels"] = ["C", "D"]
    with pytest.raises(BadInputError, match="blobs reads A, B, and the data have none of them"):
        begun(going_on, write_config)


def test_a_window_that_the_model_does_not_take_is_refused(going_on, write_config):
    going_on["window"] = [24, 24, 24]
    with pytest.raises(BadInputError, match="leave window and network.arguments out"):
        begun(going_on, write_config)


def test_a_network_of_another_width_is_refused(going_on, write_config):
    going_on["network"]["arguments"] = {**NETWORK, "encoder_width": [16, 16]}
    with pytest.raises(BadInputError, match="leave window and network.arguments out"):
        begun(going_on, write_config)


def test_a_model_that_is_not_there_is_named(going_on, write_config):
    going_on["network"]["model"] = "nobody"
    with pytest.raises(BadModelError, match="no model called nobody"):
        load_config(write_config(going_on))


def test_a_run_begins_with_one_thing(going_on, write_config):
    going_on["network"]["pretrained"] = "best.pt"
    with pytest.raises(BadInputError, match="exclude each other"):
        load_config(write_config(going_on))


def test_a_model_may_lie_beside_the_configuration(going_on, write_config, model, tmp_path):
    shutil.copytree(model.description.path, tmp_path / "own" / "blobs")
    going_on["network"]["model"] = "own/blobs"
    assert load_config(write_config(going_on)).network.model == str(tmp_path / "own" / "blobs")


def test_a_model_is_called_by_its_name(going_on, write_config):
    going_on["network"]["model"] = "glioma-fast"
    config = load_config(write_config(going_on))
    assert config.network.model == "glioma-fast"
    assert config.window == (64, 64, 64) and config.preprocessing.spacing == (2.0, 2.0, 2.0)


def test_other_names_of_sequences_are_known():
    bundle = resolve_model("glioma-fast")
    window = bundle.inference.roi_size
    arguments = {**bundle.network.arguments, "in_channels": 1, "out_channels": 1}
    ours = build_network(network_spec(NetworkSection(arguments=arguments), 1, 1, window), window)
    load_weights_of_model(ours, bundle, ["T1w"], ["WT"])
    theirs = build_networks(bundle)[0].state_dict()
    number = [channel.name for channel in bundle.description.channels].index("T1")
    torch.testing.assert_close(ours.state_dict()["stem.weight"], theirs["stem.weight"][:, [number]])
    torch.testing.assert_close(ours.state_dict()["head.weight"], theirs["head.weight"][[2]])


@pytest.mark.parametrize("clicks", [True, False])
def test_clicks_of_a_model_are_learned_on_or_left_out(clicks):
    bundle = resolve_model("any-lesion")
    arguments = {**bundle.network.arguments, "in_channels": 5 if clicks else 2}
    window = bundle.inference.roi_size
    ours = build_network(network_spec(NetworkSection(arguments=arguments), 0, 1, window), window)
    load_weights_of_model(ours.eval(), bundle, ["more", "scan"], ["lesion"])
    more, scan, prompts = torch.randn(1, 1, *window), torch.randn(1, 1, *window), None
    prompts = torch.rand(1, 3, *window) if clicks else torch.zeros(1, 3, *window)
    theirs = build_networks(bundle)[0](torch.cat([scan, prompts], 1))
    given = [more, scan, prompts] if clicks else [more, scan]
    torch.testing.assert_close(ours(torch.cat(given, 1)), theirs)


def test_records_and_card_tell_of_the_model(going_on, write_config, tmp_path):
    going_on["optimization"]["steps"] = 1
    run = train(configured(going_on, write_config))
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["model"] == {"name": "blobs", "version": "1.2.0"}
    card = export(run, tmp_path / "models" / "next").description.card
    assert "| Began with | weights of the model blobs 1.2.0; its card tells" in card
