"""The cases that a model has seen, by name, as its metadata tell whoever goes on from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.protocol.description import read_mapping
from factorizer_engine.protocol.unique_keys import read_json

_ENTRY = "seen_cases"


@dataclass(frozen=True)
class SeenCases:
    """What a model has seen.

    Attributes:
        train: Names of the cases that it was trained on.
        validation: Names of those by which its weights were chosen.
        untold_by: Models that it goes on from or refines, and that do not tell what they have seen.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    untold_by: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """The entry of `metadata.json` that tells of it."""
        return {_ENTRY: asdict(self)}


def seen_cases(bundle: Bundle) -> SeenCases:
    """What a model tells that it has seen; of published ones nothing is told."""
    path = bundle.description.path / "configs" / "metadata.json"
    told = read_mapping(path, read_json).get(_ENTRY) if path.is_file() else None
    if not isinstance(told, dict):
        model = bundle.description
        return SeenCases(untold_by=(f"{model.name} {model.version}",))
    lists = {key: told.get(key) for key in asdict(SeenCases())}
    return SeenCases(**{key: tuple(map(str, v)) for key, v in lists.items() if isinstance(v, list)})
