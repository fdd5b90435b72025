"""The weights that a training begins with: random ones, those of another run, or of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.bundles.seen import SeenCases, seen_cases
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import NetworkSection, TrainingConfig
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.data.matching import numbers_by_name, usual_name
from factorizer_engine.training.data.splits import Split
from factorizer_engine.training.run.networks import build_network, network_spec
from factorizer_engine.training.run.state import load_checkpoint

_FIRST_LAYERS = frozenset({"stem.weight", "input_block.conv1.conv.weight", "convInit.conv.weight"})
"""Weights that see the input: of a Factorizer, a DynUNet and a SegResNet."""

_LAST_LAYERS = ("head.", "heads.", "output_block.", "conv_final.2.")
"""How the names of weights begin that give the regions: of a Factorizer, with and without deep
supervision, a DynUNet and a SegResNet."""


def beginning_network(config: TrainingConfig, dataset: Dataset) -> nn.Module:
    """The network of a configuration for such data, with the weights that it begins with.

    Raises:
        BadModelError: If the network's arguments do not fit its class, or the model that it goes on
            from is damaged.
        BadInputError: If the window does not fit the network, both do not fit into memory, or the
            weights to begin with do not exist or do not fit.
    """
    channels, regions = tuple(dataset.channels), tuple(dataset.regions)
    inputs = len(channels) + config.prompt_channels(len(regions))
    spec = network_spec(config.network, inputs, len(regions), config.window)
    network = build_network(spec, config.window)
    if config.network.pretrained:
        load_matching_weights(network, Path(config.network.pretrained))
    if config.network.model:
        bundle = resolve_model(config.network.model)
        load_weights_of_model(network, bundle, channels, regions)
    return network


def model_begun_with(config: TrainingConfig) -> dict[str, str] | None:
    """Name and version of the model that a configuration goes on from, for the records."""
    if config.network.model is None:
        return None
    description = resolve_model(config.network.model).description
    return {"name": description.name, "version": description.version}


def load_matching_weights(network: nn.Module, path: Path) -> None:
    """Start from the weights of another run (`best.pt` or `final.pt`).

    Linear adapters fit a network whose adapters are convolutions, too: they become the centres of
    the kernels. A network with more input channels, such as prompts, gets zeros for them. Either
    way it begins by computing what the other one does.

    Raises:
        BadInputError: If there are none or they do not fit.
    """
    state, wanted = load_checkpoint(path).get("network"), network.state_dict()
    if state is None:
        raise BadInputError(
            f"{path} is no checkpoint of a run; a model to go on from is named by network.model."
        )
    try:
        network.load_state_dict(_with_more_inputs(_with_widened_adapters(state, wanted), wanted))
    except RuntimeError as error:
        raise BadInputError(f"The weights {path} do not fit this network.", str(error)) from error


def load_weights_of_model(
    network: nn.Module, bundle: Bundle, channels: Sequence[str], regions: Sequence[str]
) -> None:
    """Start from the weights of a model (of an ensemble, from those of its first network).

    Channels and regions meet by their names, channels also by other names of the same sequence.
    What only the model has is left out; a channel or a click that it does not know begins with
    weights of zero, a region with random ones. So the network begins by computing for what both
    have what the model does, whose other channels would be missing.

    Args:
        network: Its own weights stay where the model has none.
        bundle: The model.
        channels: What the network reads, in order; clicks follow.
        regions: What it finds, in order.

    Raises:
        BadModelError: If the model's weights are missing or damaged.
        BadInputError: If the networks are of different shape, or no channel is the model's.
    """
    theirs, wanted = build_networks(bundle)[0].state_dict(), network.state_dict()
    outputs = _outputs_of(bundle, regions)
    inputs = _inputs_of(bundle, channels, outputs)
    if not any(number < len(channels) for number in inputs):
        names = ", ".join(channel.name for channel in bundle.description.channels)
        raise BadInputError(
            f"The model {bundle.description.name} reads {names}, and the data have none of them; "
            "name the channels of the data as the model does."
        )
    try:
        for key in wanted.keys() & theirs.keys():
            if key in _FIRST_LAYERS:
                nothing = torch.zeros_like(wanted[key])
                theirs[key] = _rearranged(theirs[key], nothing, inputs, dim=1)
            elif key.startswith(_LAST_LAYERS):
                theirs[key] = _rearranged(theirs[key], wanted[key], outputs, dim=0)
        network.load_state_dict(theirs)
    except RuntimeError as error:
        raise BadInputError(
            f"The weights of the model {bundle.description.name} do not fit this network; leave "
            "window and network.arguments out of the configuration to take the model's.",
            str(error),
        ) from error


def seen_before(network: NetworkSection) -> Split:
    """The cases that the weights were trained and selected on with which a training begins.

    Args:
        network: Names the run or the model that they are of; some do not tell (`untold_by`).

    Raises:
        BadInputError: If the checkpoint or the model does not exist or is damaged.
    """
    if network.pretrained:
        return Split.of(load_checkpoint(Path(network.pretrained)).get("cases", {}))
    seen = seen_cases(resolve_model(network.model)) if network.model else SeenCases()
    return Split(seen.train, seen.validation)


def untold_by(network: NetworkSection) -> tuple[str, ...]:
    """Models whose weights begin a training and that do not tell what they have seen."""
    return seen_cases(resolve_model(network.model)).untold_by if network.model else ()


def _with_widened_adapters(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    widened = dict(state)
    for key, kernel in wanted.items():
        linear = key.replace("adapter.weight", "adapter.linear.weight")
        if key not in state and linear in state:
            weight = widened.pop(linear)
            widened[key] = torch.zeros(kernel.shape)
            widened[key].flatten(2)[..., kernel[0, 0].numel() // 2] = weight.squeeze(-1)
    return widened


def _with_more_inputs(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The state with zeros for input channels that the first layer wants and does not have."""
    widened = dict(state)
    for key in _FIRST_LAYERS & wanted.keys() & state.keys():
        own, needed = state[key], wanted[key]
        same_otherwise = own.shape[:1] + own.shape[2:] == needed.shape[:1] + needed.shape[2:]
        if same_otherwise and own.shape[1] < needed.shape[1]:
            widened[key] = torch.zeros(needed.shape)
            widened[key][:, : own.shape[1]] = own
    return widened


def _inputs_of(
    bundle: Bundle, channels: Sequence[str], outputs: Mapping[int, int]
) -> dict[int, int]:
    """Number of an input of the network to that of the same one of the model's network.

    Those of clicks are there even if the network reads none.
    """
    known = numbers_by_name(bundle.description)
    usual = {number: usual_name(name) for number, name in enumerate(channels)}
    found = {number: known[name] for number, name in usual.items() if name in known}
    if bundle.prompts is None:
        return found
    per_region = bundle.prompts.channels(1)
    first, their_first = len(channels), len(bundle.description.channels)
    for number, theirs in outputs.items():
        for kind in range(per_region):
            found[first + per_region * number + kind] = their_first + per_region * theirs + kind
    return found


def _outputs_of(bundle: Bundle, regions: Sequence[str]) -> dict[int, int]:
    """Number of a region of the network to that of the model's region of this name."""
    known = {region.name: number for number, region in enumerate(bundle.description.regions)}
    return {number: known[name] for number, name in enumerate(regions) if name in known}


def _rearranged(source: Tensor, target: Tensor, sources: Mapping[int, int], dim: int) -> Tensor:
    """`target` with the slices of `source` along a dimension that `sources` says, by number.

    Numbers beyond those of `target` are passed over.
    """
    result = target.clone()
    for number, theirs in sources.items():
        if number < result.shape[dim]:
            result.select(dim, number).copy_(source.select(dim, theirs))
    return result
