"""Installed models as the panel needs them, read from their descriptions without torch.

The engine reads and verifies bundles in full; here only names, channels and typical run times are
taken from `configs/metadata.json`, so that the module opens at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.models import Channel

SECTION = "factorizer"


@dataclass(frozen=True)
class ModelSummary:
    """An installed model.

    Attributes:
        name: Unique name.
        title: Name for people.
        description: One or two sentences.
        family: What it segments.
        version: Version of the model.
        channels: The scans it needs, in network order.
        path: Its folder.
        expectedSeconds: Device kind ("cpu", "cuda") to typical seconds for one case.
        regions: Titles of the regions it predicts, by name.
        card: The model card (Markdown).
    """

    name: str
    title: str
    description: str
    family: str
    version: str
    channels: tuple[Channel, ...]
    path: Path
    expectedSeconds: dict[str, float] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)
    card: str = ""


def installedModels(folders: Iterable[Path] | None = None) -> list[ModelSummary]:
    """All models whose description can be read, by title; others are named in the log."""
    models: dict[str, ModelSummary] = {}
    for folder in model_folders() if folders is None else folders:
        for description in sorted(folder.glob("*/configs/metadata.json")):
            try:
                model = readSummary(description.parent.parent)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                logging.warning("The model in %s cannot be read: %r", description.parent, error)
                continue
            models.setdefault(model.name, model)
    return sorted(models.values(), key=lambda model: model.title.lower())


def readSummary(folder: Path) -> ModelSummary:
    """Read the description of the model in `folder`.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: If it is missing or incomplete.
    """
    text = (folder / "configs" / "metadata.json").read_text(encoding="utf-8")
    metadata = json.loads(text)
    section = metadata.get(SECTION, {})
    return ModelSummary(
        name=section.get("name", folder.name),
        title=section.get("title") or metadata.get("name") or folder.name,
        description=metadata.get("description", ""),
        family=section.get("family", ""),
        version=str(metadata.get("version", "")),
        channels=_channels(metadata, section),
        path=folder,
        expectedSeconds=dict(section.get("expected_seconds", {})),
        regions={region["name"]: region["title"] for region in section.get("regions", ())},
        card=_card(folder),
    )


def _channels(metadata: dict, section: dict) -> tuple[Channel, ...]:
    if "channels" in section:
        return tuple(
            Channel(channel["name"], tuple(channel.get("aliases", ())))
            for channel in section["channels"]
        )
    definition = metadata["network_data_format"]["inputs"]["image"]["channel_def"]
    return tuple(Channel(str(definition[key])) for key in sorted(definition, key=int))


def _card(folder: Path) -> str:
    path = folder / "docs" / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
