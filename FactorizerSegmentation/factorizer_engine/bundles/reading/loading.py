"""Opens a model bundle: a folder or .zip, this project's own or laid out like the authors'."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.reading.archive import bundle_root, extract_bundle
from factorizer_engine.bundles.reading.checksums import verify_checksums
from factorizer_engine.bundles.reading.configuration import InferenceConfig, read_config_file
from factorizer_engine.bundles.reading.metadata import (
    TypedSettings,
    settings_from_monai,
    typed_settings,
)
from factorizer_engine.bundles.reading.validation import check_settings
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.errors import BadModelError

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
_DEFAULT_ROI = (128, 128, 128)


def load_bundle(path: str | Path, verify: bool = True) -> Bundle:
    """Open a bundle. Nothing in it is executed, and its weights are not read yet.

    Args:
        path: Folder or .zip file.
        verify: Whether to compare the files with the bundle's checksums.

    Raises:
        BadModelError: If it is not a bundle, or one that is incomplete, damaged or refused.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.suffix.lower() == ".zip":
        storage = tempfile.TemporaryDirectory(prefix="factorizer-model-")
        root = extract_bundle(path, Path(storage.name))
        shown_name = root.name if root != Path(storage.name) else path.stem
        return replace(_read_bundle(root, shown_name, verify), storage=storage)
    if not path.exists():
        raise BadModelError(f"There is no model at {path}.")
    if not path.is_dir():
        raise BadModelError(
            f"{path.name} is not a model bundle: a bundle is a folder or a .zip file "
            "(import single checkpoints with `factorizer models import`)."
        )
    root = bundle_root(path, path.name)
    return _read_bundle(root, root.resolve().name, verify)


def _read_bundle(root: Path, shown_name: str, verify: bool) -> Bundle:
    metadata = _read_metadata(root, shown_name)
    if verify:
        verify_checksums(root, shown_name)
    try:
        settings, network = _interpret(metadata, _read_inference(root, shown_name), shown_name)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadModelError(
            f"The model {shown_name} has a configuration with values that make no sense.",
            details=repr(error),
        ) from error
    weights = _weights(root)
    if not weights:
        raise BadModelError(
            f"The model {settings.name} has no weights; put them into its models folder."
        )
    card = root / "docs" / "README.md"
    return Bundle(
        path=root,
        name=settings.name,
        version=str(metadata.get("version", "0.0.0")),
        family=settings.family,
        title=settings.title,
        description=str(metadata.get("description", "")),
        channels=settings.channels,
        regions=settings.regions,
        labels=settings.labels,
        preprocessing=settings.preprocessing,
        inference=settings.inference,
        postprocessing=settings.postprocessing,
        network=network,
        weights=weights,
        card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "",
        expected_seconds=settings.expected_seconds,
        devices=settings.devices,
        notes=settings.notes,
    )


def _interpret(
    metadata: Mapping[str, Any], inference: Mapping[str, Any], shown_name: str
) -> tuple[TypedSettings, NetworkSpec]:
    """The typed settings, this project's own or derived from MONAI's, and the network."""
    config = InferenceConfig(inference)
    network = config.network()
    settings = typed_settings(metadata)
    if settings is None:
        roi = tuple(network.arguments.get("spatial_size") or _DEFAULT_ROI)
        settings = settings_from_monai(
            metadata, shown_name, config.preprocessing(), config.inference(roi)
        )
    check_settings(settings, network)
    return settings, network


def _read_metadata(root: Path, shown_name: str) -> dict[str, Any]:
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        raise BadModelError(
            f"The model {shown_name} has no configs/metadata.json; it is incomplete."
        )
    return read_config_file(path)


def _read_inference(root: Path, shown_name: str) -> Mapping[str, Any]:
    for suffix in (".json", ".yaml", ".yml"):
        path = root / "configs" / f"inference{suffix}"
        if path.is_file():
            return read_config_file(path)
    raise BadModelError(
        f"The model {shown_name} has no configs/inference.json or .yaml; it is incomplete."
    )


def _weights(root: Path) -> tuple[Path, ...]:
    """The weights of the ensemble: all safetensors files, else all torch checkpoints, by name."""
    for suffixes in (WEIGHTS_SUFFIXES[:1], WEIGHTS_SUFFIXES[1:]):
        found = sorted(p for p in (root / "models").glob("*") if p.suffix.lower() in suffixes)
        if found:
            return tuple(found)
    return ()
