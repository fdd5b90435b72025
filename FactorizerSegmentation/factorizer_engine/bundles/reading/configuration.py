"""Settings out of a MONAI inference configuration (`configs/inference.yaml` or `.json`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from factorizer_engine.bundles.reading.expressions import (
    References,
    bare_target,
    class_name,
    transform_name,
)
from factorizer_engine.bundles.reading.painting import with_painted_values
from factorizer_engine.bundles.reading.postprocessing import left_out, probability_threshold
from factorizer_engine.bundles.reading.yaml_files import read_yaml
from factorizer_engine.bundles.settings import InferenceSettings, NetworkSpec, Preprocessing
from factorizer_engine.protocol.description import read_mapping
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.unique_keys import read_json

_NETWORK_TARGETS = ("Factorizer", "SegResNet", "DynUNet")
_IGNORED_TRANSFORMS = frozenset(
    "LoadImage EnsureChannelFirst EnsureType CastToType ToTensor SpatialPad DivisiblePad "
    "SelectItems DeleteItems Identity".split()
)
"""Steps that change neither the place nor the value of a voxel, or only pad the outside."""

_MOST_VALUES = 100_000
"""In a YAML file, whose aliases can make billions of a few lines."""


def read_config_file(path: Path) -> dict[str, Any]:
    """The mapping in a .json, .yaml or .yml file.

    Raises:
        BadModelError: If the file is too large, not valid, or not a mapping.
    """
    return read_mapping(path, read_json if path.suffix == ".json" else _decode_yaml)


def _decode_yaml(text: str) -> Any:
    try:
        content = read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if _written_out(content, {}) > _MOST_VALUES:
        raise ValueError("too many values, when aliases are written out")
    return content


def _written_out(value: Any, known: dict[int, float]) -> float:
    """How many values there are, if every alias is written out; infinitely many in a circle."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_written_out(item, known) for item in items)
    return known[id(value)]


class InferenceConfig:
    """Typed access to an inference configuration. Only what is asked for is read.

    Args:
        content: The configuration as read from its file.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._references = References(content)

    def network(self) -> NetworkSpec:
        """The network that the configuration describes.

        Raises:
            BadModelError: If there is none, or one that cannot be built here.
        """
        component = self._network_component()
        resolved = self._references.resolve(component)
        target = class_name(resolved.pop("_target_"))
        resolved.pop("_mode_", None)
        return NetworkSpec(target, resolved)

    def preprocessing(self) -> Preprocessing:
        """Spacing, orientation, crop and normalisation, from the list of transforms.

        Raises:
            BadModelError: If a step is not one that the engine's pre-processing covers.
        """
        settings: dict[str, Any] = {"spacing": None, "crop_margin": 0, "normalization": "none"}
        for step in self._transforms():
            settings.update(self._preprocessing_of(step))
        return Preprocessing(**settings)

    def inference(self, default_roi: tuple[int, ...]) -> InferenceSettings:
        """Window, overlap and blending, from the sliding-window inferer; else the defaults."""
        threshold = probability_threshold(self._steps_afterwards(), self._references.resolve)
        settings: dict[str, Any] = {"roi_size": default_roi, "threshold": threshold}
        for component in self._components(self._content):
            if bare_target(component).startswith("SlidingWindowInferer"):
                resolve = self._references.resolve
                roi = resolve(component.get("roi_size", default_roi))
                roi = [roi] * len(default_roi) if isinstance(roi, int) else roi
                if len(roi) != len(default_roi):
                    raise BadModelError(
                        f"The model has windows of {len(roi)} axes instead of {len(default_roi)}."
                    )
                overlap = resolve(component.get("overlap", 0.25))
                settings["roi_size"] = tuple(
                    int(r) if r and r > 0 else d for r, d in zip(roi, default_roi, strict=False)
                )
                settings["overlap"] = float(max(overlap) if isinstance(overlap, list) else overlap)
                settings["blending"] = resolve(component.get("mode", "constant"))
                break
        if settings.get("blending", "gaussian") not in ("gaussian", "constant"):
            raise BadModelError(
                f"The model's blending mode {settings['blending']!r} is not supported; "
                "it must be 'gaussian' or 'constant'."
            )
        return InferenceSettings(**settings)

    def _network_component(self) -> Mapping[str, Any]:
        for key in ("network_def", "network", "net", "model"):
            component = self._content.get(key)
            if isinstance(component, Mapping) and "_target_" in component:
                return component
        for component in self._components(self._content):
            if bare_target(component) in _NETWORK_TARGETS:
                return component
        raise BadModelError("The model's configuration does not describe a network (network_def).")

    def with_painted_values(self, description: ModelDescription) -> ModelDescription:
        """The description of a model, with the label values that the post-processing paints.

        What else it does is noted.
        """
        steps = self._steps_afterwards()
        painted = with_painted_values(description, steps, self._references.resolve)
        return replace(painted, notes=(*painted.notes, *left_out(steps)))

    def _steps_afterwards(self) -> list[Mapping[str, Any]]:
        """The steps of the post-processing that are not disabled."""
        section = self._content.get("postprocessing", [])
        steps = section.get("transforms", []) if isinstance(section, Mapping) else section
        steps = [s for s in steps if isinstance(s, Mapping)] if isinstance(steps, list) else []
        return [step for step in steps if not step.get("_disabled_")]

    def _transforms(self) -> list[Mapping[str, Any]]:
        section = self._content.get("preprocessing", [])
        if isinstance(section, Mapping):
            section = section.get("transforms", [])
        if isinstance(section, str):
            section = self._references.resolve(section)
        if not isinstance(section, list):
            raise BadModelError("The model's pre-processing is not a list of transforms.")
        return [step for step in section if isinstance(step, Mapping)]

    def _preprocessing_of(self, step: Mapping[str, Any]) -> dict[str, Any]:
        resolve = self._references.resolve
        name = transform_name(step)
        if name == "Spacing":
            pixdim = resolve(step["pixdim"])
            pixdim = [pixdim] * 3 if isinstance(pixdim, (int, float)) else pixdim
            return {"spacing": tuple(float(p) for p in pixdim)}
        if name == "Orientation":
            return {"orientation": resolve(step.get("axcodes", "RAS"))}
        if name == "CropForeground":
            margin = resolve(step.get("margin", 0))
            return {"crop_margin": int(max(margin) if isinstance(margin, list) else margin)}
        if name == "NormalizeIntensity":
            together = not resolve(step.get("channel_wise", False))
            if together and self.network().arguments.get("in_channels", 1) != 1:
                raise BadModelError(
                    "The model normalises all channels together, which is not supported."
                )
            for name in ("subtrahend", "divisor"):
                if resolve(step.get(name)) is not None:
                    raise BadModelError(
                        f"The model normalises by a given {name}, which is not supported."
                    )
            nonzero = resolve(step.get("nonzero", False))
            return {"normalization": "zscore_nonzero" if nonzero else "zscore"}
        if name in _IGNORED_TRANSFORMS:
            return {}
        raise BadModelError(
            f"The model's pre-processing step {step.get('_target_')} is not supported."
        )

    def _components(self, value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """All mappings with a `_target_`, outermost first."""
        if depth > 8:
            return
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield value
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from self._components(item, depth + 1)
