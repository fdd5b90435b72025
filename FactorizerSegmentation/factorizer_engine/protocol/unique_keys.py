"""JSON whose keys stand there once, as otherwise the last one would count without a word.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class RepeatedKeyError(ValueError):
    """Something is named twice; the message is the end of a sentence about the file."""


def read_json(text: str) -> Any:
    """What a text in JSON holds.

    Raises:
        RepeatedKeyError: If it names something twice.
        ValueError: If it is no JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_mapping)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _mapping(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKeyError(f"'{key}' stands there twice")
        found[key] = value
    return found
