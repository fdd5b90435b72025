"""The networks that can be trained here: Factorizers, and the usual references for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from factorizer_engine.bundles import architecture
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.images.memory import available_memory
from factorizer_engine.inference.device import window_bytes
from factorizer_engine.networks import FactorizerBlock
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import NetworkSection


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


def checkpoint_blocks(network: nn.Module) -> None:
    """Let every Factorizer block forget its activations and compute them again when needed."""
    for module in network.modules():
        if isinstance(module, FactorizerBlock):
            forgetful = partial(checkpoint, module.forward, use_reentrant=False)
            module.forward = forgetful  # type: ignore[method-assign]  # of this block alone
