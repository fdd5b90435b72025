"""The names of a real Slicer's user-interface classes, as recorded from the running program."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

RECORD_FILE = Path(__file__).resolve().parent.parent / "data" / "slicer_api.json.gz"


@dataclass(frozen=True)
class RecordedClass:
    """One class; members are its own, relative to the nearest base (see `Record.members`).

    `module` is "qt", "ctk" or "slicer"; `bases` begins with the nearest one; `properties` maps the
    name to the C++ type; `signals` are C++ signatures; `enums` maps enum to value names.
    """

    module: str
    bases: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    enums: dict[str, list[str]] = field(default_factory=dict)


class Record:
    """All recorded classes, by name."""

    def __init__(self, path: Path = RECORD_FILE) -> None:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            entries = json.load(file)["classes"]
        self.classes = {name: RecordedClass(**entry) for name, entry in entries.items()}

    def lineage(self, name: str) -> list[RecordedClass]:
        """The class and its recorded bases, nearest first."""
        own = self.classes[name]
        return [own, *(self.classes[base] for base in own.bases if base in self.classes)]

    def properties(self, name: str) -> dict[str, str]:
        """All properties of a class with those of its bases."""
        merged: dict[str, str] = {}
        for entry in reversed(self.lineage(name)):
            merged.update(entry.properties)
        return merged

    def signals(self, name: str) -> list[str]:
        """All signal signatures of a class with those of its bases, nearest first."""
        return [signal for entry in self.lineage(name) for signal in entry.signals]

    def members(self, name: str) -> set[str]:
        """Every recorded public name on a class: properties, signals, methods, enums."""
        names: set[str] = set()
        for entry in self.lineage(name):
            names.update(entry.properties, entry.methods, entry.enums)
            names.update(signal.partition("(")[0] for signal in entry.signals)
            names.update(value for values in entry.enums.values() for value in values)
        return names


@cache
def record() -> Record:
    """The record, read once."""
    return Record()
