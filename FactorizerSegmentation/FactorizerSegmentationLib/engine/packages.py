"""Python packages that the engine needs in Slicer's own Python.

The check reads package descriptions and imports nothing.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

TORCH = "torch>=2.4"
REQUIREMENTS = (
    "numpy>=1.26",
    "scipy>=1.11.1",
    "SimpleITK>=2.3",
    "pydicom>=3.0.1",
    "monai>=1.4",
    "nibabel>=5.4",
    "connected-components-3d>=3.12",
    "safetensors>=0.4",
    "PyYAML>=6.0",
    "pydantic>=2.6",
    "psutil>=5.9",
    "filelock>=3.20.1",
    "requests>=2.28",
    "pillow>=10.3",
)
FASTER = ("numba>=0.60",)
"""The engine runs without these, only more slowly."""
BRAIN_NETWORKS = "deepbet==1.0.2"
"""What outlines brains."""
ALONE = (BRAIN_NETWORKS,)
"""Installed without what they ask for, which is a window toolkit that the engine does not need."""
SLICERS_OWN = ("numpy", "scipy", "SimpleITK", "pydicom", "requests", "packaging", "setuptools")

_DISK_MB = {
    "torch": 1000,
    "numpy": 70,
    "scipy": 140,
    "SimpleITK": 280,
    "pydicom": 15,
    "monai": 15,
    "nibabel": 15,
    "connected-components-3d": 20,
    "numba": 210,
    "highdicom": 30,
    "pillow": 20,
    "deepbet": 12,
}
"""What packages take on the disk with what only they need, measured on Linux; others take little.

torch is the build for processors with its own dependencies; that for graphics cards takes about
three times as much.
"""


def missingPackages(requirements: Iterable[str] = (TORCH, *REQUIREMENTS)) -> list[str]:
    """The requirements that Slicer's Python does not meet."""
    return [requirement for requirement in requirements if not _isMet(requirement)]


def nameOf(requirement: str) -> str:
    """The package's name in a requirement, such as "torch" of "torch>=2.4"."""
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def diskMb(requirement: str) -> int:
    """About how many MB a package takes on the disk."""
    return _DISK_MB.get(nameOf(requirement), 5)


def _isMet(requirement: str) -> bool:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        installed = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(installed, prereleases=True)
