"""Opens a model bundle: a folder or .zip, this project's own or laid out like the authors'."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.profiles import OF_FEWER, read_profiles
from factorizer_engine.bundles.reading.archive import bundle_root, extract_bundle
from factorizer_engine.bundles.reading.checksums import verify_checksums
from factorizer_engine.bundles.reading.configuration import InferenceConfig, read_config_file
from factorizer_engine.bundles.reading.members import find_members
from factorizer_engine.bundles.reading.metadata import BundleSettings, bundle_settings
from factorizer_engine.bundles.reading.validation import check_bundle
from factorizer_engine.protocol.description import describe_model, read_metadata
from factorizer_engine.protocol.errors import BadModelError

COARSE = "coarse"
"""The folder of a cascade's first stage, in the bundle's."""

FEWER = "fewer"
"""The folder of the networks that learned from studies which lack scans, in `models`."""

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
        storage = tempfile.TemporaryDirectory(
            prefix="factorizer-model-", ignore_cleanup_errors=True
        )
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
    metadata = read_metadata(root, shown_name)
    if verify:
        verify_checksums(root, shown_name)
    inference = _read_inference(root, shown_name)
    try:
        bundle = _interpret(root, metadata, InferenceConfig(inference), shown_name)
        if bundle.cascade is not None:
            coarse = _read_bundle(root / COARSE, f"{shown_name} ({COARSE} stage)", verify)
            bundle = replace(bundle, coarse=coarse)
        check_bundle(bundle)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadModelError(
            f"The model {shown_name} has a configuration with values that make no sense.",
            details=repr(error),
        ) from error
    if not bundle.weights:
        raise BadModelError(
            f"The model {bundle.description.name} has no weights; put them into its models folder."
        )
    if bundle.fewer is not None and not bundle.fewer_weights:
        raise BadModelError(
            f"The model {bundle.description.name} lacks the networks for studies that lack scans, "
            f"which belong in models/{FEWER}; install it again."
        )
    return bundle


def _interpret(
    root: Path, metadata: Mapping[str, Any], config: InferenceConfig, shown_name: str
) -> Bundle:
    """The bundle, with this project's own settings or those of MONAI's configuration."""
    network = config.network()
    description = describe_model(root, metadata, shown_name)
    members, remarks = find_members(root / "models", shown_name)
    description = replace(description, notes=(*description.notes, *remarks))
    fewer_members, _ = find_members(root / "models" / FEWER, shown_name)
    settings = bundle_settings(metadata)
    if settings is None:
        roi = tuple(network.arguments.get("spatial_size") or _DEFAULT_ROI)
        settings = BundleSettings(config.preprocessing(), config.inference(roi))
        description = config.with_painted_values(description)
    return Bundle(
        description=description,
        preprocessing=settings.preprocessing,
        inference=settings.inference,
        postprocessing=settings.postprocessing,
        network=network,
        prompts=settings.prompts,
        cascade=settings.cascade,
        fewer=settings.fewer,
        profiles=read_profiles(root),
        fewer_profiles=read_profiles(root, OF_FEWER) if settings.fewer is not None else None,
        weights=members,
        fewer_weights=fewer_members if settings.fewer is not None else (),
    )


def _read_inference(root: Path, shown_name: str) -> Mapping[str, Any]:
    files = [root / "configs" / f"inference{suffix}" for suffix in (".json", ".yaml", ".yml")]
    found = [path for path in files if path.is_file()]
    if len(found) > 1:
        raise BadModelError(
            f"The model {shown_name} has both {found[0].name} and {found[1].name}; remove the one "
            "that does not count."
        )
    if found:
        return read_config_file(found[0])
    raise BadModelError(
        f"The model {shown_name} has no configs/inference.json or .yaml; it is incomplete."
    )
