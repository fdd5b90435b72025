"""`configs/metadata.json`: MONAI's description of a bundle, with this project's settings in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from factorizer_engine.bundles.settings import (
    InferenceSettings,
    PostprocessingSettings,
    Preprocessing,
)
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.models import Channel, Label, Region

SECTION = "factorizer"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TypedSettings:
    """The `factorizer` section of metadata.json: what MONAI's schema has no place for."""

    name: str
    family: str
    title: str
    channels: tuple[Channel, ...]
    regions: tuple[Region, ...]
    labels: tuple[Label, ...]
    preprocessing: Preprocessing
    inference: InferenceSettings
    postprocessing: PostprocessingSettings = PostprocessingSettings()
    expected_seconds: Mapping[str, float] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = FORMAT_VERSION


_SETTINGS = TypeAdapter(TypedSettings)


def typed_settings(metadata: Mapping[str, Any]) -> TypedSettings | None:
    """The settings in the `factorizer` section, or None if metadata.json has no such section.

    Raises:
        BadModelError: If the section is incomplete, or was written by a later version.
    """
    section = metadata.get(SECTION)
    if section is None:
        return None
    if isinstance(section, Mapping) and section.get("format", 1) != FORMAT_VERSION:
        raise BadModelError("The model was made for a newer version of this software; update it.")
    try:
        return _SETTINGS.validate_python(section)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or SECTION
        raise BadModelError(
            f"The model's metadata.json is not valid at {place}: {first['msg'].rstrip('.')}.",
            details=str(error),
        ) from error


def settings_section(settings: TypedSettings) -> dict[str, Any]:
    """`settings` as the JSON value that `typed_settings` reads."""
    return _SETTINGS.dump_python(settings, mode="json")


def settings_from_monai(
    metadata: Mapping[str, Any],
    folder_name: str,
    preprocessing: Preprocessing,
    inference: InferenceSettings,
) -> TypedSettings:
    """Settings of a bundle that only has MONAI's own metadata.

    Channels and regions come from `network_data_format`; their aliases, label values and painting
    order from `factorizer_engine.protocol.conventions`.

    Raises:
        BadModelError: If the channels or the outputs are not named.
    """
    channels = _channel_names(metadata, "inputs", ("image",))
    outputs = _channel_names(metadata, "outputs", ("pred",))
    outputs = [name for name in outputs if name.lower() != "background"]
    regions, labels, family = conventions.regions_and_labels(outputs)
    return TypedSettings(
        name=slug(folder_name),
        family=family,
        title=str(metadata.get("name") or folder_name),
        channels=tuple(conventions.channel(name) for name in channels),
        regions=regions,
        labels=labels,
        preprocessing=preprocessing,
        inference=inference,
        notes=("Label values and painting order follow from the names of the outputs.",),
    )


def slug(text: str) -> str:
    """`text` as a bundle name: lower case, digits, hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "model"


def _channel_names(metadata: Mapping[str, Any], side: str, keys: tuple[str, ...]) -> list[str]:
    try:
        entries = metadata["network_data_format"][side]
        entry = next((entries[key] for key in keys if key in entries), None)
        definition = (entry or next(iter(entries.values())))["channel_def"]
        return [str(definition[key]) for key in sorted(definition, key=int)]
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise BadModelError(
            f"The model's metadata.json does not name its {side} (network_data_format).",
            details=repr(error),
        ) from error
