"""The networks that can be trained here: Factorizers, and the usual references for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from factorizer_engine.bundles import architecture
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.images.memory import available_memory
from factorizer_engine.inference.device import window_bytes
from factorizer_engine.networks import FactorizerBlock
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import NetworkSection
from factorizer_engine.training.data.splits import Split
from factorizer_engine.training.run.state import load_checkpoint

_FIRST_LAYERS = frozenset({"stem.weight", "input_block.conv1.conv.weight", "convInit.conv.weight"})
"""Weights that see the input: of a Factorizer, a DynUNet and a SegResNet."""


def network_spec(
    section: NetworkSection, in_channels: int, out_channels: int, window: tuple[int, int, int]
) -> NetworkSpec:
    """The network of a configuration as plain data.

    The arguments of a Factorizer are those of the class, except that `head_dim`, `patch_size` and
    `shifts` may stand directly among them in place of `reshape`.
    """
    arguments = dict(section.arguments)
    if section.type == "factorizer":
        matricize = {
            key: arguments.pop(key)
            for key in ("head_dim", "num_heads", "patch_size", "grid_size", "shifts")
            if key in arguments
        }
        if matricize:
            arguments["reshape"] = ["SWMatricize", matricize]
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "spatial_size": list(window),
            **arguments,
        }
        return NetworkSpec("Factorizer", arguments)
    if section.type == "dynunet":
        arguments = {
            "spatial_dims": 3,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": [3] * 5,
            "strides": [1, 2, 2, 2, 2],
            "upsample_kernel_size": [2] * 4,
            "norm_name": "instance",
            **arguments,
        }
        return NetworkSpec("DynUNet", arguments)
    arguments = {"in_channels": in_channels, "out_channels": out_channels, **arguments}
    return NetworkSpec("SegResNet", arguments)


def build_network(spec: NetworkSpec, window: Sequence[int]) -> nn.Module:
    """A network with fresh weights that has been seen to take the window.

    Raises:
        BadModelError: If the arguments do not fit the class.
        BadInputError: If the window does not fit the network, or both do not fit into memory.
    """
    _check_memory(architecture.outline(spec), window)
    network = architecture.build_network(spec)
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, spec.arguments["in_channels"], *window))
    except (ValueError, RuntimeError) as error:
        size = " x ".join(map(str, window))
        raise BadInputError(
            f"The network cannot take a window of {size} voxels; use one that its strides divide.",
            repr(error),
        ) from error
    return network.train()


def _check_memory(shapes: nn.Module, window: Sequence[int]) -> None:
    """Refuse a network and a window that would exhaust the memory, before they do.

    Args:
        shapes: The network on the meta device.
        window: Its input, in voxels.

    Raises:
        BadInputError: If so.
    """
    weights = sum(p.numel() * p.element_size() for p in shapes.parameters())
    needed, free = weights + window_bytes(shapes, window), available_memory()
    if needed > free:
        size = " x ".join(map(str, window))
        raise BadInputError(
            f"The network needs about {needed / 1e9:.1f} GB of memory for windows of {size} voxels "
            f"but {free / 1e9:.1f} GB are free; choose a smaller window or network."
        )


def load_matching_weights(network: nn.Module, path: Path) -> None:
    """Start from the weights of another run (`best.pt` or `final.pt`).

    Linear adapters fit a network whose adapters are convolutions, too: they become the centres of
    the kernels. A network with more input channels, such as prompts, gets zeros for them. Either
    way it begins by computing what the other one does.

    Raises:
        BadInputError: If there are none or they do not fit.
    """
    try:
        state = load_checkpoint(path)["network"]
        wanted = network.state_dict()
        network.load_state_dict(_with_more_inputs(_with_widened_adapters(state, wanted), wanted))
    except (KeyError, RuntimeError) as error:
        raise BadInputError(f"The weights {path} do not fit this network.", str(error)) from error


def seen_before(pretrained: str | None) -> Split:
    """The cases that the weights were trained and selected on with which a training begins.

    Args:
        pretrained: `best.pt` or `final.pt` of a run; weights from elsewhere do not tell.

    Raises:
        BadInputError: If the file does not exist or is damaged.
    """
    cases = load_checkpoint(Path(pretrained)).get("cases", {}) if pretrained else {}
    return Split.of(cases)


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


def checkpoint_blocks(network: nn.Module) -> None:
    """Let every Factorizer block forget its activations and compute them again when needed."""
    for module in network.modules():
        if isinstance(module, FactorizerBlock):
            forgetful = partial(checkpoint, module.forward, use_reentrant=False)
            module.forward = forgetful  # type: ignore[method-assign]  # of this block alone
