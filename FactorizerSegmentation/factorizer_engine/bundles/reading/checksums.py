"""SHA-256 sums: of a bundle's files, in the format of `sha256sum`, and of what a bundle does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.protocol.description import CHECKSUM_FILE
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.files import file_digest

if TYPE_CHECKING:
    from factorizer_engine.bundles.bundle import Bundle
    from factorizer_engine.bundles.settings import FewerSettings, InferenceSettings

_MOST_LETTERS = 4_000_000
_COVERED = ("configs", "models", "coarse/configs", "coarse/models")
"""Folders whose files are covered; the model card may be edited freely."""


def write_checksums(bundle: Path) -> None:
    """Write the sums of all configuration and weights files of the bundle folder."""
    lines = [f"{_sha256(path)}  {path.relative_to(bundle).as_posix()}" for path in _files(bundle)]
    (bundle / CHECKSUM_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def verify_checksums(bundle: Path, shown_name: str) -> None:
    """Compare the files with the sums. A bundle without a checksum file passes.

    Args:
        bundle: The bundle's folder.
        shown_name: What to call it in messages.

    Raises:
        BadModelError: If a file is missing, was added, or differs.
    """
    listing = bundle / CHECKSUM_FILE
    if not listing.is_file():
        return
    expected: dict[str, str] = {}
    with listing.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(_MOST_LETTERS).splitlines()
    for line in lines:
        digest, _, name = line.partition("  ")
        expected[name.strip()] = digest
    present = {path.relative_to(bundle).as_posix(): path for path in _files(bundle)}
    for name in sorted(expected.keys() | present.keys()):
        if name not in present:
            problem = "is missing"
        elif name not in expected:
            problem = "was added after the model was made"
        elif _sha256(present[name]) != expected[name]:
            problem = "does not match its checksum"
        else:
            continue
        raise BadModelError(
            f"The model {shown_name} is damaged: {name} {problem}; install it again."
        )


def fingerprint(bundle: Bundle) -> str:
    """A sum over all that decides what a bundle segments; texts and timings do not change it."""
    description = bundle.description
    deciding: dict[str, object] = {
        "weights": [_sha256(path) for path in bundle.weights],
        "network": asdict(bundle.network),
        "channels": [channel.name for channel in description.channels],
        "regions": [(region.name, region.label, region.order) for region in description.regions],
        "preprocessing": asdict(bundle.preprocessing),
        "inference": _chosen(bundle.inference),
        "postprocessing": asdict(bundle.postprocessing),
    }
    if bundle.fewer is not None:
        deciding["fewer"] = _chosen(bundle.fewer)
        deciding["fewer_weights"] = [_sha256(path) for path in bundle.fewer_weights]
    if bundle.cascade is not None and bundle.coarse is not None:
        deciding["cascade"] = asdict(bundle.cascade)
        deciding["coarse"] = fingerprint(bundle.coarse)
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def _chosen(settings: InferenceSettings | FewerSettings) -> dict[str, object]:
    """Without what is not set and was unknown to older versions, whose sums stay the same."""
    newer = ("sweeps", "short_circuits", "again")
    return {name: value for name, value in asdict(settings).items() if value or name not in newer}


def _files(bundle: Path) -> list[Path]:
    return sorted(
        path for part in _COVERED for path in (bundle / part).rglob("*") if path.is_file()
    )


def _sha256(path: Path) -> str:
    return file_digest(path).hex()
