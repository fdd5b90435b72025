"""Published models that can be downloaded, as a data file lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from factorizer_engine.protocol.locations import CATALOGUE
from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class PublishedModel(Message):
    """A model on the internet.

    Attributes:
        name: What it is called once it is installed.
        title: Name for people.
        family: What it segments.
        summary: What it does, in one or two sentences.
        location: Address of the file, or of a Zenodo record in Zenodo's programming interface.
        file: Which file of a record.
        sha256: What the file's content adds up to; "" where the record tells its own sum.
        size: Bytes to download; 0 where the record tells.
        members: Pattern of the checkpoints in an archive; "" if the file is a model by itself.
        preset: Published network that they are; "" recognises it.
        licence: Under which terms it may be used.
        page: Where people read about it.
    """

    name: str
    title: str
    family: str
    summary: str
    location: str
    file: str = ""
    sha256: str = ""
    size: int = 0
    members: str = ""
    preset: str = ""
    licence: str = ""
    page: str = ""


def published_models(catalogue: Path = CATALOGUE) -> list[PublishedModel]:
    """The models of the catalogue, in its order."""
    entries = json.loads(catalogue.read_text(encoding="utf-8"))
    return [PublishedModel.from_dict(entry) for entry in entries]
