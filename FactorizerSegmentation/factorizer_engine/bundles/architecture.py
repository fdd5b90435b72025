"""From a network's description and a weights file to a network that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from factorizer_engine import factorization, networks
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.published.legacy import convert_legacy_state
from factorizer_engine.bundles.reading.expressions import CLASS_NAMES, class_name
from factorizer_engine.bundles.reading.weights import part_of_network, read_checkpoint
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.errors import BadModelError, EngineError

FACTORIZER = "Factorizer"
MONAI_NETWORKS = frozenset({"SegResNet", "DynUNet"})
_PARTS: Mapping[str, type[nn.Module]] = {
    name: getattr(place, name)
    for name in CLASS_NAMES - {FACTORIZER} - MONAI_NETWORKS
    for place in (nn, factorization, networks)  # the last one that has the name provides it
    if hasattr(place, name)
}
CLASS_ARGUMENTS = frozenset({"norm", "reshape", "act", "factorize", "pos_embed"})
_SHOWN_DIFFERENCES = 3


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network that `spec` describes, with fresh weights.

    Raises:
        BadModelError: If the description is not one of a known network.
    """
    target = _network_class(spec.target)
    arguments = dict(spec.arguments)
    try:
        if target is networks.Factorizer:
            for name in CLASS_ARGUMENTS & arguments.keys():
                arguments[name] = _component(arguments[name])
        return target(**arguments)
    except (MemoryError, EngineError):
        raise
    except Exception as error:  # settings out of a file can provoke any error
        raise BadModelError(
            f"The network {spec.target} cannot be built with the model's settings: "
            f"{_first_sentence(error)}.",
            details=repr(error),
        ) from error


def outline(spec: NetworkSpec) -> nn.Module:
    """The network that `spec` describes, on the meta device: shapes without numbers or memory.

    Raises:
        BadModelError: If the description is not one of a known network.
    """
    with torch.device("meta"), _NoRandomNumbers():
        return build_network(spec)


def build_networks(bundle: Bundle, device: str = "cpu") -> list[nn.Module]:
    """One network per weights file of `bundle`, in evaluation mode, on `device`.

    Raises:
        BadModelError: If weights are missing, damaged, not finite or do not fit the network.
    """
    if not bundle.weights:
        raise BadModelError(
            f"The model {bundle.description.name} has no weights; install it again."
        )
    # Shapes are compared before memory is allocated, so absurd sizes cannot exhaust it.
    shapes = outline(bundle.network)
    ensemble = []
    for path in bundle.weights:
        state = part_of_network(read_checkpoint(path).state, shapes.state_dict(), path.name)
        state = fit_state(state, shapes)
        check_fit(state, shapes, path.name)
        check_numbers(state, path.name)
        network = build_network(bundle.network)
        network.load_state_dict(state)
        ensemble.append(network.to(device).eval())
    return ensemble


def load_state(network: nn.Module, state: Mapping[str, Tensor], source: str = "weights") -> None:
    """Load a state dict of any published version into `network`, completely.

    Keys of versions 0.0.1 and 0.0.2 are renamed, surplus deep-supervision heads are left out, and
    biases of strided convolutions that old versions do not have are set to zero.

    Raises:
        BadModelError: If keys or shapes differ from the network's.
    """
    fitted = fit_state(state, network)
    check_fit(fitted, network, source)
    network.load_state_dict(fitted)


def fit_state(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`state` under the keys of `network`, as far as the published versions differ in them."""
    fitted = convert_legacy_state(state)
    wanted = network.state_dict()
    if "head.weight" in wanted and "heads.0.weight" in fitted:
        for key in [key for key in fitted if key.startswith("heads.")]:
            tensor = fitted.pop(key)
            if key.startswith("heads.0."):
                fitted[key.replace("heads.0.", "head.")] = tensor
    for key, tensor in wanted.items():
        weight = fitted.get(key.removesuffix("bias") + "weight")
        if key.endswith("downsample.bias") and key not in fitted and weight is not None:
            fitted[key] = torch.zeros(tensor.shape, dtype=weight.dtype, device=weight.device)
    return fitted


def check_fit(state: Mapping[str, Tensor], network: nn.Module, source: str) -> None:
    """Compare the keys, shapes and kinds of `state` with those of `network`.

    Raises:
        BadModelError: If they differ; the message names the first differences.
    """
    of_network = network.state_dict()
    wanted = {key: tuple(tensor.shape) for key, tensor in of_network.items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    differences = [f"{key} is missing" for key in wanted if key not in found]
    differences += [f"{key} is not part of the network" for key in found if key not in wanted]
    differences += [
        f"{key} is {_sizes(found[key])} instead of {_sizes(wanted[key])}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    differences += [
        f"{key} holds whole numbers, as after a quantisation"
        for key, tensor in of_network.items()
        if tensor.is_floating_point() and key in state and not state[key].is_floating_point()
    ]
    if differences:
        shown = ", ".join(differences[:_SHOWN_DIFFERENCES])
        rest = len(differences) - _SHOWN_DIFFERENCES
        raise BadModelError(
            f"The weights {source} do not fit the network that the model describes: {shown}"
            + (f", and {rest} more differences." if rest > 0 else "."),
            details="\n".join(differences),
        )


def check_numbers(state: Mapping[str, Tensor], source: str) -> None:
    """Make sure that weights are finite, also where the network computes: in float32.

    Raises:
        BadModelError: If a tensor holds NaN or infinity; the message names the first one.
    """
    for key, tensor in state.items():
        if not torch.isfinite(tensor.float()).all():
            raise BadModelError(
                f"The weights {source} hold numbers that are not finite (NaN, infinity) in {key}; "
                "their training went wrong or the file is damaged, so they are of no use."
            )


class _NoRandomNumbers(TorchFunctionMode):
    """Leaves tensors empty that would be drawn; on the meta device that would import sympy.

    The import takes half as long as that of torch, and outlines have no values anyway.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        func = torch.empty if func is torch.randn else func
        return func(*args, **(kwargs or {}))


def _network_class(target: str) -> type[nn.Module]:
    name = class_name(target)
    if name == FACTORIZER:
        return networks.Factorizer
    if name not in MONAI_NETWORKS:
        raise BadModelError(f"The model is a {target}, which is not a known network.")
    from monai.networks import nets  # importing MONAI takes as long as importing torch

    return getattr(nets, name)


def _component(value: Any) -> Any:
    """A class, or the pair (class, arguments), from its name; other values unchanged."""
    if isinstance(value, str):
        return _PARTS[_part_name(value)]
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str):
        return _PARTS[_part_name(value[0])], dict(value[1])
    return value


def _part_name(dotted: str) -> str:
    name = class_name(dotted)
    if name not in _PARTS:
        raise BadModelError(f"The model uses the network {name} as a part of another, which fails.")
    return name


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else repr(error)
