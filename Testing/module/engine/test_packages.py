"""The packages that Slicer installs are those that the engine declares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

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


@pytest.fixture
def installed(monkeypatch) -> list[list[str]]:
    """What pip was asked to install, with the content of the constraints file; "wanted" lacks."""
    calls = []
    missing = ["wanted>=1"]

    def pip_install(arguments):
        calls.append([*arguments[:-1], Path(arguments[-1]).read_text(encoding="utf-8")])
        missing.clear()

    monkeypatch.setattr(packages, "missingPackages", lambda wanted: list(missing))
    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    return calls


def answer(monkeypatch, agree: bool) -> list[str]:
    """Let the user agree or decline; returns the questions that are asked."""
    questions = []

    def confirm(text, *arguments):
        questions.append(text)
        return agree

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return questions


def test_nothing_is_installed_without_consent(monkeypatch, installed):
    questions = answer(monkeypatch, agree=False)

    assert "Nothing was installed" in packages.ensurePackages()
    assert "wanted" in questions[0]
    assert installed == []


def test_slicers_own_packages_keep_their_versions(monkeypatch, installed):
    answer(monkeypatch, agree=True)

    assert packages.ensurePackages() == ""

    ((requirement, option, constraints),) = installed
    assert (requirement, option) == ("wanted>=1", "-c")
    assert f"numpy=={np.__version__}" in constraints.split()


def test_the_brain_networks_come_without_what_they_ask_for(monkeypatch):
    answer(monkeypatch, agree=True)
    missing = [packages.BRAIN_NETWORKS]
    monkeypatch.setattr(
        packages, "missingPackages", lambda wanted: [name for name in missing if name in wanted]
    )
    calls = []

    def pip_install(arguments):
        calls.append(arguments)
        missing.clear()

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    assert packages.ensurePackages() == ""
    assert calls == []
    assert packages.ensurePackages((packages.BRAIN_NETWORKS,)) == ""
    assert calls == [["--no-deps", packages.BRAIN_NETWORKS]]


def test_a_failed_installation_is_told_in_one_sentence(monkeypatch, installed):
    answer(monkeypatch, agree=True)

    def fail(arguments):
        raise OSError("no network")

    monkeypatch.setattr(slicer.util, "pip_install", fail)

    assert "could not be installed" in packages.ensurePackages()


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(monkeypatch):
    answer(monkeypatch, agree=True)
    monkeypatch.setattr(packages, "missingPackages", lambda wanted: [packages.TORCH])
    monkeypatch.setattr(slicer, "modules", object(), raising=False)

    assert "PyTorch extension" in packages.ensurePackages()


def test_what_a_task_needs_beside_every_run_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(packages, "missingPackages", lambda wanted: list(wanted)[-1:])
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, title: asked.append(text) and False
    )
    assert packages.ensurePackages(["py7zr>=0.22"])
    assert "py7zr" in asked[0]


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_only_makes_it_faster_is_installed_apart_and_may_fail(succeeds, monkeypatch, caplog):
    questions, installed = answer(monkeypatch, agree=True), []

    def pip_install(arguments):
        if not succeeds and "numba>=0.60" in arguments:
            raise RuntimeError("no numba for numpy 9\nfar too much detail")
        constraints = Path(arguments[-1]).read_text(encoding="utf-8").split()
        assert f"numpy=={np.__version__}" in constraints
        installed.extend(arguments[:-2])

    def missing(wanted):
        return [r for r in wanted if r in ("scipy>=1.11", *packages.FASTER) and r not in installed]

    monkeypatch.setattr(packages, "missingPackages", missing)
    monkeypatch.setattr(slicer.util, "pip_install", pip_install)

    assert packages.ensurePackages() == ""

    assert "scipy, numba" in questions[0]
    assert installed == ["scipy>=1.11", *packages.FASTER][: 1 + succeeds]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (0 if succeeds else 1)
    assert succeeds or ("no numba for numpy 9" in warnings[0] and "\n" not in warnings[0])
    assert packages.ensurePackages() == ""
    assert len(questions) == 1
