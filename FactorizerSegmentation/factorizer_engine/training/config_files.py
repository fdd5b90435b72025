"""The files of training configurations: which extend each other, and where their paths lead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from factorizer_engine.bundles.reading.yaml_files import read_yaml
from factorizer_engine.bundles.registry import is_place
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.locations import RESOURCES
from factorizer_engine.protocol.unique_keys import RepeatedKeyError

_PATHS = (("data", "root"), ("split", "file"), ("network", "pretrained"), ("network", "model"))
"""Section and key of what may be a path; a model may be called by its name, too."""
_VARIABLE = re.compile(r"\$(\w|{)|^%\w+%")
"""One that was not set; a "$" before a backslash or slash is that of a hidden share of Windows."""


def read_values(path: Path) -> dict[str, Any]:
    """The values of a file and of those that it extends, relative paths taken from their folders.

    Args:
        path: YAML file.

    Raises:
        BadInputError: If a file cannot be read, or extends itself.
    """
    values: dict[str, Any] = {}
    splits: list[Path] = []
    for folder, own in reversed(list(_levels(path))):
        values = merged(values, _anchored(own, folder))
        splits.insert(0, folder / f"{values.get('name')}-split.json")
    _name_split(values, splits)
    return values


def _levels(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and own values of a file, then of the one that it extends, and so on.

    Raises:
        BadInputError: If a file cannot be read, or extends itself.
    """
    read: list[Path] = []
    while True:
        values, file = _parse(path), path.resolve()
        extended = values.pop("extends", None)
        yield file.parent, values
        if extended is None:
            return
        read.append(file)
        other = (file.parent / str(extended)).resolve()
        if other in read:
            raise BadInputError(f"The configuration {path.name} extends itself.")
        path = other


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInputError(
            f"The configuration {path} cannot be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"The configuration {path} is no text in UTF-8.") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" near line {line + 1}" if line is not None else ""
        advice = "; write paths with / or between single quotes" if "escape" in str(error) else ""
        raise BadInputError(
            f"The configuration {path.name} is not valid YAML{place}{advice}.", str(error)
        ) from error
    except RepeatedKeyError as error:
        raise BadInputError(f"The configuration {path.name} is ambiguous: {error}.") from error
    if not isinstance(values, dict):
        raise BadInputError(f"The configuration {path.name} must be a list of named sections.")
    return values


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """All keys of both, section by section; those of `changes` count."""
    result = dict(base)
    for name, value in changes.items():
        both_are_sections = isinstance(value, dict) and isinstance(base.get(name), dict)
        result[name] = {**base[name], **value} if both_are_sections else value
    return result


def override(values: dict, section: str, key: str, value: str | Path | None) -> None:
    """Put a value in place of that of a key, if there is one."""
    if value is not None and isinstance(values.setdefault(section, {}), dict):
        values[section][key] = str(value)


def leave_out(values: dict, section: str, key: str) -> None:
    """Take a key away, if it is there."""
    if isinstance(values.get(section), dict):
        values[section].pop(key, None)


def _name_split(values: dict, splits: Sequence[Path]) -> None:
    """Name the file of the split where no configuration does.

    It is made for the first of `splits`, that of the file which is run, and not beside what this
    one extends, which may be somebody else's. One that is there already is shared, so that runs
    which differ in a few keys can be compared.
    """
    section = values.setdefault("split", {})
    if isinstance(section, dict) and not section.get("file"):
        there = (path for path in splits if os.path.isfile(path))  # which takes any name
        section["file"] = str(next(there, _outside(splits[0])))


def _outside(split: Path) -> Path:
    """The file of a split, in the current folder in place of one that comes along.

    There it may not be written, and an update would delete it; results go to the current folder.
    """
    return Path.cwd() / split.name if split.is_relative_to(RESOURCES) else split


def _paths(values: dict) -> Iterator[tuple[str, str, str]]:
    """Section, key and text of every path that is there."""
    for section, key in _PATHS:
        part = values.get(section)
        text = part.get(key) if isinstance(part, dict) else None
        if isinstance(text, str) and (key != "model" or is_place(text) or _is_anchored(text)):
            yield section, key, text


def _is_anchored(text: str) -> bool:
    """Whether a path begins with a variable or the home folder, and so has its place."""
    return text.startswith(("$", "%", "~"))


def _anchored(values: dict, folder: Path) -> dict:
    """The values, with relative paths taken from `folder`."""
    for section, key, text in _paths(values):
        if not _is_anchored(text):
            values[section][key] = str(folder / text)
    return values


def fill_in_variables(values: dict) -> None:
    """Put environment variables and the home folder into paths.

    Raises:
        BadInputError: If a variable is not set.
    """
    for section, key, text in _paths(values):
        filled_in = os.path.expanduser(os.path.expandvars(text))
        if _VARIABLE.search(filled_in):
            raise BadInputError(
                f"The environment variable in {section}.{key} ('{text}') is not set."
            )
        values[section][key] = filled_in
