"""Python packages that the engine needs in Slicer's own Python, installed only after asking.

The check reads package descriptions and imports nothing. Packages that belong to Slicer (numpy,
SimpleITK, ...) are never replaced: pip gets their versions as constraints.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import slicer
from slicer.i18n import tr as _

TORCH = "torch>=2.4"
REQUIREMENTS = (
    "numpy>=1.26",
    "scipy>=1.11",
    "SimpleITK>=2.3",
    "pydicom>=2.4",
    "monai>=1.4",
    "nibabel>=5.2",
    "connected-components-3d>=3.12",
    "safetensors>=0.4",
    "PyYAML>=6.0",
    "pydantic>=2.6",
    "psutil>=5.9",
    "requests>=2.28",
)
FASTER = ("numba>=0.60",)
"""The engine runs without these, only more slowly."""
BRAIN_NETWORKS = "deepbet==1.0.2"
"""What outlines brains. Installed alone, for it asks for a window toolkit that is not needed."""
SLICERS_OWN = (
    "numpy",
    "scipy",
    "SimpleITK",
    "pydicom",
    "highdicom",
    "requests",
    "packaging",
    "setuptools",
)


class InstallationError(Exception):
    """Why packages were not installed, as one sentence for the user."""


def missingPackages(requirements: Iterable[str] = (TORCH, *REQUIREMENTS)) -> list[str]:
    """The requirements that Slicer's Python does not meet."""
    return [requirement for requirement in requirements if not _isMet(requirement)]


def ensurePackages(additional: Iterable[str] = ()) -> str:
    """Install what is missing, if the user agrees; returns one sentence on failure, else "".

    Args:
        additional: Requirements beside those that every run has.
    """
    wanted = (TORCH, *REQUIREMENTS, *additional)
    missing = missingPackages(wanted)
    if not missing:
        return ""
    question = _(
        "The segmentation engine needs Python packages that are not installed yet: {names}. "
        "Download and install them now? This may take several minutes and up to 3 GB of disk."
    ).format(names=", ".join(map(_name, (*missing, *missingPackages(FASTER)))))
    if not slicer.util.confirmOkCancelDisplay(question, _("Install packages")):
        return _("Nothing was installed; the engine cannot run without its Python packages.")
    try:
        if TORCH in missing:
            _installTorch()
        _install([name for name in missing if name not in (TORCH, BRAIN_NETWORKS)])
        if BRAIN_NETWORKS in missing:
            slicer.util.pip_install(["--no-deps", BRAIN_NETWORKS])
        _installFaster()
    except InstallationError as error:
        return str(error)
    except Exception:
        logging.exception("Installing the Python packages of the Factorizer engine failed.")
        return _("The Python packages could not be installed; the application log says why.")
    still = missingPackages(wanted)
    if still:
        names = ", ".join(_name(requirement) for requirement in still)
        return _("After the installation {names} is still missing; restart Slicer.").format(
            names=names
        )
    return ""


def _installTorch() -> None:
    """By the PyTorch extension, which picks the build for the graphics card."""
    if not hasattr(slicer.modules, "pytorchutils"):
        raise InstallationError(
            _("Install the PyTorch extension in the Extensions Manager first, then restart Slicer.")
        )
    from PyTorchUtils import PyTorchUtilsLogic

    torch = PyTorchUtilsLogic().installTorch(
        askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch")
    )
    if torch is None:
        raise InstallationError(_("PyTorch was not installed; the engine cannot run without it."))


def _installFaster() -> None:
    """Apart from the others, for numba does not take every numpy that Slicer may have."""
    for requirement in missingPackages(FASTER):
        try:
            _install([requirement])
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            logging.warning(
                f"{_name(requirement)} could not be installed ({reason}); "
                "the Factorizer engine works without it, but more slowly."
            )


def _install(requirements: list[str]) -> None:
    if not requirements:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_ownVersions()) + "\n", encoding="utf-8")
        if importlib.util.find_spec("slicer.packaging") is not None:  # Slicer 5.11 and later
            from slicer.packaging import pip_ensure

            pip_ensure(
                requirements,
                constraints=constraints,
                prompt_install=False,
                requester="FactorizerSegmentation",
            )
        else:
            slicer.util.pip_install([*requirements, "-c", str(constraints)])


def _ownVersions() -> list[str]:
    """Slicer's packages, and torch, as they are installed now."""
    versions = []
    for name in (*SLICERS_OWN, "torch"):
        try:
            versions.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _isMet(requirement: str) -> bool:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        installed = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(installed, prereleases=True)


def _name(requirement: str) -> str:
    return re.split("[<>=]", requirement)[0]
