"""A model that a training goes on from: what a configuration need not repeat of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config_files import merged

_TYPES = {"Factorizer": "factorizer", "DynUNet": "dynunet", "SegResNet": "segresnet"}
_OF_DATA_AND_WINDOW = frozenset({"in_channels", "out_channels", "spatial_size"})


def completed_by_model(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a configuration, and of `network.model`, if it names one, what they leave out.

    That is the network, its window and the pre-processing.

    Raises:
        BadModelError: If there is no such model, or it is damaged.
        BadInputError: If it is of a kind that cannot be trained here.
    """
    network = values.get("network")
    model = network.get("model") if isinstance(network, dict) else None
    return merged(_settings_of(resolve_model(model)), values) if isinstance(model, str) else values


def _settings_of(bundle: Bundle) -> dict[str, Any]:
    spec = bundle.network
    if spec.target not in _TYPES:
        raise BadInputError(
            f"The model {bundle.description.name} is a {spec.target}, which cannot be trained here."
        )
    kept = {key: spec.arguments[key] for key in spec.arguments.keys() - _OF_DATA_AND_WINDOW}
    return {
        "window": bundle.inference.roi_size,
        "preprocessing": asdict(bundle.preprocessing),
        "network": {"type": _TYPES[spec.target], "arguments": kept},
    }
