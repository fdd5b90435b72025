"""Access to the recorded reference numbers."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).resolve().parent.parent / "data" / "reference"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())


def load(name: str) -> dict[str, Tensor]:
    """The tensors of one reference file."""
    return load_file(FOLDER / name)


def present(section: str) -> list[str]:
    """Names of the files of a manifest section that are kept in the repository."""
    entries = MANIFEST["nmf"]["results"] if section == "nmf" else MANIFEST[section]
    return [name for name in entries if (FOLDER / name).exists()]


def state_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dictionary recorded under `state.*`."""
    return {key[6:]: value for key, value in tensors.items() if key.startswith("state.")}


def relative(found: Tensor, expected: Tensor) -> float:
    """Relative L2 distance."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())
