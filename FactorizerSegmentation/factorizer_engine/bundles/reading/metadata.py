"""How a model is applied, as `configs/metadata.json` says it in this project's section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.settings import (
    CascadeSettings,
    FewerSettings,
    InferenceSettings,
    PostprocessingSettings,
    Preprocessing,
    PromptSettings,
)
from factorizer_engine.protocol.description import FORMAT_VERSION, SECTION, section_of
from factorizer_engine.protocol.errors import BadModelError


@dataclass(frozen=True)
class BundleSettings:
    """What the section says besides the model's description."""

    preprocessing: Preprocessing
    inference: InferenceSettings
    postprocessing: PostprocessingSettings = PostprocessingSettings()
    prompts: PromptSettings | None = None
    cascade: CascadeSettings | None = None
    fewer: FewerSettings | None = None


_SETTINGS = TypeAdapter(BundleSettings)


def bundle_settings(metadata: Mapping[str, Any]) -> BundleSettings | None:
    """The settings in the section, or None if metadata.json has no such section.

    Raises:
        BadModelError: If the section is incomplete.
    """
    section = metadata.get(SECTION)
    if section is None:
        return None
    try:
        return _SETTINGS.validate_python(section)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or SECTION
        raise BadModelError(
            f"The model's metadata.json is not valid at {place}: {first['msg'].rstrip('.')}.",
            details=str(error),
        ) from error


def bundle_section(bundle: Bundle) -> dict[str, Any]:
    """The section of a bundle's metadata.json: its description, its settings and the format."""
    settings = BundleSettings(
        bundle.preprocessing,
        bundle.inference,
        bundle.postprocessing,
        bundle.prompts,
        bundle.cascade,
        bundle.fewer,
    )
    content = {
        **section_of(bundle.description),
        **_SETTINGS.dump_python(settings, mode="json"),
        "format": FORMAT_VERSION,
    }
    return {name: content[name] for name in _ORDER}


_ORDER = (
    "name", "family", "title", "channels", "regions", "labels", "subsets", "by_clicks",
    "preprocessing", "inference", "postprocessing", "prompts", "cascade", "fewer",
    "expected_seconds", "devices", "expects", "notes", "format",
)  # fmt: skip
"""From what people look for to what only programs read."""
