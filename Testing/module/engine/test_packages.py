"""The packages that Slicer installs are those that the engine declares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from factorizer_engine.protocol.tasks.export_dicom import HIGHDICOM
from FactorizerSegmentationLib.engine import packages

REPOSITORY = Path(__file__).resolve().parents[3]
ONLY_FOR_THE_COMMAND_LINE = {"typer", "rich", "jinja2"}
ASKED_FOR_WHEN_NEEDED = {"highdicom"}


def declared() -> dict[str, str]:
    """Name to specifier of the engine's packages in pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"\ndependencies = \[(.*?)\]", text, re.DOTALL).group(1)
    return dict(re.findall(r'"([\w-]+)(>=[\d.]+)"', block))


def test_slicer_gets_what_the_engine_needs_and_no_more():
    requirements = (packages.TORCH, *packages.REQUIREMENTS, *packages.FASTER)
    others = ONLY_FOR_THE_COMMAND_LINE | ASKED_FOR_WHEN_NEEDED
    wanted = {name: v for name, v in declared().items() if name not in others}
    # Slicer's own, built on its ITK, cannot be replaced; older ones read no cut MetaImage files.
    wanted["SimpleITK"] = ">=2.3"

    assert dict(re.findall(r"([\w-]+)(>=[\d.]+)", " ".join(requirements))) == wanted


def test_what_is_asked_for_when_needed_is_what_the_engine_declares():
    assert HIGHDICOM == f"highdicom{declared()['highdicom']}"


def test_missing_packages_are_found_without_importing_them(monkeypatch):
    monkeypatch.delitem(sys.modules, "monai", raising=False)

    missing = packages.missingPackages(
        ["pytest>=1", "pytest>=9999", "no-such-package>=1", "monai>=1.4"]
    )

    assert missing == ["pytest>=9999", "no-such-package>=1"]
    assert "monai" not in sys.modules
