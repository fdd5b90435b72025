"""What a `dataset.json`, of MSD or nnU-Net, says of a dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.unique_keys import read_json

_BACKGROUND = "background"


def read_description(path: Path) -> dict[str, Any]:
    """Channels, labels and regions by a `dataset.json`; empty if there is none.

    MSD has "modality" and labels by their values, nnU-Net "channel_names" and values by names.

    Raises:
        BadInputError: If it cannot be understood, or can be understood in two ways.
    """
    if not path.is_file():
        return {}
    try:
        content = read_json(path.read_text(encoding="utf-8-sig"))  # Windows marks UTF-8
        names = content.get("channel_names") or content.get("modality") or {}
        channels = _described_channels(names)
        regions = _described_regions(content.get("labels", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"The description {path} cannot be understood: {_what_is_wrong(error)}.", repr(error)
        ) from error
    labels = {name: values[0] for name, values in regions.items() if len(values) == 1}
    return {"channels": channels, "labels": labels, "regions": regions}


def _described_channels(names: Mapping[str, Any]) -> tuple[str, ...]:
    """Channel names in the order of their numbers, which files end with.

    Raises:
        ValueError: If they are not numbered 0, 1 and so on.
    """
    numbers = [str(number) for number in range(len(names))]
    if set(names) != set(numbers):
        raise ValueError(
            f"its channels have the numbers {', '.join(names)} instead of 0 to {len(names) - 1}"
        )
    return tuple(str("" if names[number] is None else names[number]) for number in numbers)


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON from line {error.lineno}, column {error.colno} on"
    if isinstance(error, ValueError):
        return str(error)
    return "it must tell channels and labels as numbers and names"


def _described_regions(labels: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Region name to its values, of value-to-name labels (MSD) or name-to-values (nnU-Net).

    Names may be numbers, too: "1": 1 is the name "1", and "1": "oedema" the value 1.

    Raises:
        ValueError: If a value is no whole number, two regions are the same in all but name or in
            name, or the background has another value than 0.
    """
    names_values = any(not str(key).isdigit() for key in labels)
    regions: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        is_name = isinstance(value, str) and not (names_values and _is_number(value))
        name, values = (value, key) if is_name and str(key).isdigit() else (str(key), value)
        found = tuple(map(_whole, values if isinstance(values, list) else [values]))
        if name.casefold() == _BACKGROUND and found != (0,):
            raise ValueError("the background has another value than 0, which label maps give it")
        if found == (0,):
            continue
        for other, values in regions.items():
            if name.casefold() == other.casefold():
                raise ValueError(f"two labels are called {name}")
            if set(found) == set(values):
                raise ValueError(f"{other} and {name} are the same values")
        regions[name] = found
    return regions


def _is_number(text: str) -> bool:
    return text.strip().lstrip("+-").isdigit()


def _whole(value: Any) -> int:
    try:
        number = int(value)
        is_whole = number == float(value)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(f"the label {value} is no whole number")
    return number
