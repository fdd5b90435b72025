"""Which programs a preparation depends on."""

from __future__ import annotations

import SimpleITK as sitk
import torch

from factorizer_engine import __version__
from factorizer_engine.preparation import brain


def versions() -> dict[str, str]:
    """Their versions, by name."""
    found = {
        "factorizer-engine": __version__,
        "SimpleITK": sitk.Version.VersionString(),
        "torch": str(torch.__version__),
    }
    if brain.is_installed():
        found[brain.PACKAGE] = brain.VERSION
    return found
