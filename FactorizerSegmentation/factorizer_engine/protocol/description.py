"""Describes models from their `configs/metadata.json`, without reading weights or networks.

MONAI's metadata has no place for much of a `ModelDescription`; this project's bundles keep it in a
section of their own. Of bundles that lack it, the names of inputs and outputs tell the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.messages import UnfitValueError, parse, plain
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.names import model_name_problem, slug
from factorizer_engine.protocol.unique_keys import RepeatedKeyError, read_json

SECTION = "factorizer"
FORMAT_VERSION = 1
CHECKSUM_FILE = "SHA256SUMS"
WITHOUT_CHECKSUMS = (
    "The model came without checksums, so nobody can tell whether its files are as its makers left "
    "them."
)
_MAX_BYTES = 4_000_000
_SHOWN_LETTERS = 40
_ELSEWHERE = ("version", "summary", "path", "card")
"""What metadata.json itself or another file says, not the section."""


def installed_models(folders: Iterable[Path] | None = None) -> list[ModelDescription]:
    """All models whose description can be read, by title; others are named in the log.

    Args:
        folders: Where models are looked for, one folder a model; by default the usual ones. Of
            models with one name that of `by_name` is taken.
    """
    found: list[ModelDescription] = []
    for folder in model_folders() if folders is None else folders:
        for file in sorted(folder.glob("*/configs/metadata.json")):
            root = file.parents[1]
            try:
                model = describe_model(root, read_metadata(root, root.name), root.name)
            except BadModelError as error:
                logging.getLogger(__name__).warning("%s is left out: %s", root, error)
                continue
            found.append(model)
    return sorted(by_name(found).values(), key=lambda model: model.title.lower())


def by_name(models: Iterable[ModelDescription]) -> dict[str, ModelDescription]:
    """The model that each name means.

    Installed models lie in folders of their names. One that lies elsewhere and calls itself like
    another is not what its name means, or any folder could pass for a verified model; otherwise
    the first of a name counts.
    """
    models = list(models)
    installed = {model.name: model for model in reversed(models) if model.path.name == model.name}
    return {**{model.name: model for model in reversed(models)}, **installed}


def describe_model(root: Path, metadata: Mapping[str, Any], shown_name: str) -> ModelDescription:
    """The description of the bundle in the folder `root`.

    Args:
        root: The bundle's folder; its card is read from there.
        metadata: What its metadata.json says.
        shown_name: What the model is called where it does not say so itself.

    Raises:
        BadModelError: If something is missing or of another type, or was written by a later
            version.
    """
    section = metadata.get(SECTION)
    told = _of_outputs(metadata, shown_name) if section is None else _of_section(section)
    values = {
        **told,
        "version": str(metadata.get("version", "0.0.0")),
        "summary": str(metadata.get("description", "")),
        "path": root,
        "card": _read_card(root / "docs" / "README.md"),
    }
    try:
        model = parse(ModelDescription, values, "")
    except UnfitValueError as error:
        raise BadModelError(
            f"The model's metadata.json is not valid: {str(error).lstrip('.')}."
        ) from error
    if problem := model_name_problem(model.name):
        raise BadModelError(f"The model's name '{_shortened(model.name)}' {problem}.")
    if not (root / CHECKSUM_FILE).is_file():
        model = replace(model, notes=(*model.notes, WITHOUT_CHECKSUMS))
    return model


def read_metadata(root: Path, shown_name: str) -> dict[str, Any]:
    """What the metadata.json of a bundle's folder says.

    Raises:
        BadModelError: If there is none, or it cannot be read.
    """
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        raise BadModelError(
            f"The model {shown_name} has no configs/metadata.json; it is incomplete."
        )
    return read_mapping(path, read_json)


def read_mapping(path: Path, decode: Callable[[str], Any]) -> dict[str, Any]:
    """The mapping in a file.

    Args:
        path: A small text file.
        decode: Makes objects of its text, and raises ValueError where it cannot.

    Raises:
        BadModelError: If the file is too large, not valid, or not a mapping.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadModelError(f"The model's file {path.name} is too large to be a configuration.")
        content = decode(path.read_text(encoding="utf-8"))
    except RepeatedKeyError as error:
        raise BadModelError(
            f"The model's file {path.name} is ambiguous: {error}; correct it, or ask its makers."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadModelError(
            f"The model's file {path.name} cannot be read; the model is damaged or incomplete.",
            details=str(error),
        ) from error
    if not isinstance(content, dict):
        raise BadModelError(f"The model's file {path.name} does not hold a configuration.")
    return content


def section_of(description: ModelDescription) -> dict[str, Any]:
    """The part of the section that `describe_model` reads, as JSON values."""
    return {name: value for name, value in plain(description).items() if name not in _ELSEWHERE}


def _read_card(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_MAX_BYTES)


def _shortened(name: str) -> str:
    return name if len(name) <= _SHOWN_LETTERS else f"{name[:_SHOWN_LETTERS]}..."


def _of_section(section: Any) -> dict[str, Any]:
    if not isinstance(section, Mapping):
        raise BadModelError(f"The model's metadata.json is not valid: {SECTION} is no object.")
    if section.get("format", FORMAT_VERSION) != FORMAT_VERSION:
        raise BadModelError("The model was made for a newer version of this software; update it.")
    known = {field.name for field in fields(ModelDescription)} - set(_ELSEWHERE)
    return {name: value for name, value in section.items() if name in known}


def _of_outputs(metadata: Mapping[str, Any], shown_name: str) -> dict[str, Any]:
    """What the names in MONAI's `network_data_format` tell, see `protocol.conventions`."""
    channels = _channel_names(metadata, "inputs", "image")
    outputs = _channel_names(metadata, "outputs", "pred")
    outputs = [name for name in outputs if name.lower() != "background"]
    regions, labels, family = conventions.regions_and_labels(outputs)
    return {
        "name": slug(shown_name),
        "family": family,
        "title": str(metadata.get("name") or shown_name),
        "channels": plain([conventions.channel(name) for name in channels]),
        "regions": plain(regions),
        "labels": plain(labels),
        "notes": ["Label values and painting order follow from the names of the outputs."],
    }


def _channel_names(metadata: Mapping[str, Any], side: str, key: str) -> list[str]:
    try:
        entries = metadata["network_data_format"][side]
        definition = (entries.get(key) or next(iter(entries.values())))["channel_def"]
        return [str(definition[number]) for number in sorted(definition, key=int)]
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise BadModelError(
            f"The model's metadata.json does not name its {side} (network_data_format).",
            details=repr(error),
        ) from error
