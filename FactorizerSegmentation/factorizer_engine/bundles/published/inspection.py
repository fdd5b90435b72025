"""Works out a Factorizer's settings from its weights, when no configuration came with them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from factorizer_engine.bundles.published.hyperparameters import stated_settings
from factorizer_engine.bundles.published.legacy import (
    LEGACY_EPS,
    convert_legacy_state,
    legacy_version,
)
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.errors import BadModelError

CURRENT_EPS = 1e-16
Source = Literal["tensors", "checkpoint", "preset", "default"]
_ORIGIN = {
    "checkpoint": "from the settings stored in the checkpoint",
    "preset": "from the preset",
    "default": "assumed, as in the published models, because the checkpoint does not tell",
}
_MATRICIZE_ARGUMENTS = ("num_heads", "head_dim", "grid_size", "patch_size", "shifts")
_HIDDEN = ("spatial_size", "patch_size", "reshape", "shifts", "num_iters", "solver", "act")
"""Settings that the shapes of tensors do not, or not always, tell."""


@dataclass(frozen=True)
class Setting:
    """One setting of a network and how it is known."""

    value: Any
    source: Source


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint says about its network.

    Attributes:
        version: Version of the keys: "0.0.1", "0.0.2" or "today".
        settings: Every setting of the network.
        stated: What the checkpoint's own settings say, including the inferer's spacing and overlap.
        conflicts: Sentences about stated settings that the tensors contradict; tensors win.
    """

    version: str
    settings: Mapping[str, Setting]
    stated: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()

    @property
    def network(self) -> NetworkSpec:
        """The description from which the network is built."""
        values = {name: setting.value for name, setting in self.settings.items()}
        matricize = {n: values.pop(n) for n in _MATRICIZE_ARGUMENTS if n in values}
        values["reshape"] = [values["reshape"], matricize]
        return NetworkSpec("Factorizer", values)

    @property
    def report(self) -> tuple[str, ...]:
        """One sentence for each setting that the tensors do not determine."""
        uncertain = tuple(
            f"{name} is {setting.value}: {_ORIGIN[setting.source]}."
            for name, setting in self.settings.items()
            if setting.source != "tensors"
        )
        return uncertain + self.conflicts


def inspect_state(
    state: Mapping[str, Tensor],
    hyper_parameters: Any = None,
    preset: Mapping[str, Any] | None = None,
) -> Inspection:
    """Describe the Factorizer that `state` belongs to.

    What the tensors tell is taken from them; the rest from the checkpoint's own settings, then from
    the preset, then from the published defaults.

    Args:
        state: State dict of any published version, without wrapper prefixes.
        hyper_parameters: Lightning's settings, as inert data.
        preset: Known settings, such as {"shifts": [None, 1, 2, 3]}.

    Raises:
        BadModelError: If the tensors are not those of a Factorizer.
    """
    version = legacy_version(state) or "today"
    tensors = convert_legacy_state(state)
    try:
        found = _settings_from_shapes(tensors)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise BadModelError(
            "The weights are not those of a Factorizer network.", details=repr(error)
        ) from error
    found["eps"] = CURRENT_EPS if version == "today" else LEGACY_EPS
    stated = stated_settings(hyper_parameters)
    settings = {name: Setting(value, "tensors") for name, value in found.items()}
    sources: tuple[tuple[Source, Mapping[str, Any]], ...] = (
        ("checkpoint", stated),
        ("preset", preset or {}),
        ("default", _defaults(found)),
    )
    for source, values in sources:
        for name in _HIDDEN:
            if name in values and name not in settings:
                settings[name] = Setting(values[name], source)
    if "grid_size" in settings:
        settings.pop("patch_size", None)
    elif "patch_size" not in settings:
        raise BadModelError(
            "The size of the network's windows cannot be told from the weights alone; "
            "import it together with its configuration."
        )
    if settings["reshape"].value == "Matricize":
        settings.pop("shifts", None)
    return Inspection(version, settings, stated, _conflicts(found, stated))


def _settings_from_shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    stem = shapes["stem.weight"]
    heads = _count(shapes, r"heads\.(\d+)\.weight")
    head = shapes["heads.0.weight" if heads else "head.weight"]
    levels = _count(shapes, r"encoder\.blocks\.(\d+)\..*")
    stages = [f"encoder.blocks.{i}.block.blocks" for i in range(levels)]
    up_stages = [f"decoder.blocks.{i}.block.blocks" for i in range(levels - 1)]
    widths = [shapes[f"{stage}.0.norm1.norm.weight"][0] for stage in stages]
    strides = [shapes.get(f"encoder.blocks.{i}.downsample.weight", (1,))[-1] for i in range(levels)]
    hidden = shapes[f"{stages[0]}.0.mlp.block.0.linear.weight"][0]
    found: dict[str, Any] = {
        "in_channels": stem[1],
        "out_channels": head[0],
        "encoder_depth": [_count(shapes, rf"{re.escape(s)}\.(\d+)\..*") for s in stages],
        "encoder_width": widths,
        "strides": strides,
        "decoder_depth": [_count(shapes, rf"{re.escape(s)}\.(\d+)\..*") for s in up_stages],
        "rank": shapes[f"{stages[0]}.0.fact.factorize.init.u0"][1],
        "mlp_ratio": _integral(hidden / widths[0]),
        "downsample_bias": any(key.endswith("downsample.bias") for key in shapes),
        "norm": "LayerNorm",
        "factorize": "NMF",
    }
    if heads > 1:
        found["num_deep_supr"] = heads
    adapter = shapes.get("decoder.blocks.0.block.adapter.weight")
    if adapter is not None:
        found["adapter_kernel"] = adapter[-1]
    position = shapes.get(f"encoder.blocks.{levels - 1}.block.pos_embed.pos")
    if position is None:
        found["pos_embed"] = False
    else:
        found["spatial_size"] = [size * math.prod(strides) for size in position[2:]]
    found.update(
        _windows(shapes, stages, widths, strides, found.get("spatial_size"), len(stem) - 2)
    )
    return found


def _windows(
    shapes: Mapping[str, tuple[int, ...]],
    stages: list[str],
    widths: list[int],
    strides: list[int],
    spatial_size: list[int] | None,
    dims: int,
) -> dict[str, Any]:
    """Arguments of the matricisation: heads from the rows of u0, windows from the rows of v0."""
    rows = [shapes[f"{stage}.0.fact.factorize.init.u0"][0] for stage in stages]
    columns = [shapes[f"{stage}.0.fact.factorize.init.v0"][0] for stage in stages]
    if len(set(rows)) == 1:
        found: dict[str, Any] = {"head_dim": rows[0]}
    else:
        found = {"num_heads": widths[0] // rows[0]}
    if len(set(columns)) == 1:
        side = round(columns[0] ** (1 / dims))
        if side**dims == columns[0]:
            found["patch_size"] = side
    elif spatial_size is not None:
        reductions = [math.prod(strides[: level + 1]) ** dims for level in range(len(strides))]
        windows = {
            math.prod(spatial_size) // (r * c) for r, c in zip(reductions, columns, strict=True)
        }
        side = round(min(windows) ** (1 / dims))
        if len(windows) == 1 and side**dims == min(windows):
            found["grid_size"] = side
    return found


def _defaults(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the published networks have in common."""
    patch = found.get("patch_size")
    defaults: dict[str, Any] = {
        "spatial_size": [64, 64, 64],
        "reshape": "Matricize" if "grid_size" in found else "SWMatricize",
        "num_iters": 5,
        "solver": "hals",
        "act": "ReLU",
    }
    if patch is not None:
        defaults["shifts"] = [None, patch // 2]
    return defaults


def _conflicts(found: Mapping[str, Any], stated: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"The checkpoint's settings say {name} is {stated[name]} but its tensors say {value}; "
        "the tensors are followed."
        for name, value in found.items()
        if name in stated and stated[name] != value
    )


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    indices = {int(m[1]) for key in shapes if (m := re.fullmatch(pattern, key))}
    if indices != set(range(len(indices))):
        raise ValueError(f"gaps in {pattern}: {sorted(indices)}")
    return len(indices)


def _integral(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
