"""What the engine is made of may be shipped with it."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from supply.__main__ import (
    ENGINE,
    _audit,
    _vulnerable,
    canonical,
    is_binding,
    licence_of,
    needed_by,
)
from supply.pins import EXTRAS, FOLDER, other_versions, pinned_versions
from supply.versions import lowest_version, requirements_of


@pytest.mark.parametrize(
    ("licence", "binds"),
    [
        ("GPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("LGPL-3.0", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MIT OR GPL-2.0", False),
        ("Apache-2.0", False),
        ("", False),
    ],
)
def test_which_licences_bind(licence, binds):
    assert is_binding(licence) == binds


def test_nothing_that_the_engine_needs_binds_it():
    needed = needed_by(ENGINE)
    assert {"torch", "numpy", "nibabel"} <= needed
    assert not {"pytest", "mkdocs", "ruff"} & needed
    found = {name: licence_of(metadata.distribution(name)) for name in _installed(needed)}
    assert len(found) > 20
    assert {name: text for name, text in found.items() if is_binding(text)} == {}


def test_every_need_of_the_engine_says_from_which_version_on():
    needs = {need.name: lowest_version(need) for need in requirements_of(ENGINE)}
    assert {"torch", "numpy", "pydicom", "typer"} <= set(needs)
    assert all(version[0].isdigit() for version in needs.values())


def test_the_lowest_version_is_the_one_that_is_named():
    assert lowest_version(Requirement("a<3,>=1.26")) == "1.26"
    with pytest.raises(ValueError, match="from which version on"):
        lowest_version(Requirement("a<3"))


def test_all_that_is_asked_for_is_pinned_in_a_version_that_is_asked_for():
    pinned = pinned_versions()
    needs = list(map(Requirement, metadata.requires(ENGINE)))
    wanted = [{"extra": extra} for extra in EXTRAS]
    used = [n for n in needs if n.marker is None or any(map(n.marker.evaluate, wanted))]
    assert {"torch", "slicer-core", "pytest"} <= {need.name for need in used}
    unmet = [
        str(need)
        for need in used
        if not any(map(need.specifier.contains, pinned.get(canonical(need.name), ())))
    ]
    assert unmet == []


@pytest.mark.parametrize("name", ["pip", "torch", "packages", "graphics-cards", "brain"])
def test_every_pinned_package_is_known_by_its_hash(name):
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert starts and all("==" in lines[number] for number in starts)
    assert all(lines[number + 1].startswith("    --hash=sha256:") for number in starts)


def test_other_builds_of_a_pinned_version_are_told_from_other_versions():
    (version,) = pinned_versions()["torch"]
    found = [("torch", f"{version}+cpu"), ("numpy", "0.1"), ("no-such-package", "1")]
    assert other_versions(found) == ["numpy 0.1", "no-such-package 1"]


@pytest.fixture
def installer(monkeypatch, tmp_path):
    """run.py, whose pip installs nothing; `removed` gets what is uninstalled."""
    path = FOLDER.parents[2] / "run.py"
    spec = importlib.util.spec_from_file_location("run_under_test", path)
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    run.removed = []
    monkeypatch.setattr(run, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(run.subprocess, "run", lambda command: run.removed.append(command[-1]))
    return run


def reports(*hashes: str):
    """A pip that has installed archives of such hashes."""
    found = [{"download_info": {"archive_info": {"hashes": {"sha256": h}}}} for h in hashes]

    def install(title, arguments):
        Path(arguments[arguments.index("--report") + 1]).write_text(
            json.dumps({"install": found}), encoding="utf-8"
        )

    return install


def test_a_build_of_pytorch_with_another_hash_is_removed_again(installer, monkeypatch):
    monkeypatch.setattr(installer, "_pip_install", reports("0" * 64))
    with pytest.raises(installer.SetupError, match="its hash is not one of those"):
        installer._install_torch()
    assert installer.removed == ["torch"]


def test_builds_of_pytorch_on_the_list_and_one_that_is_there_already_stay(installer, monkeypatch):
    listed = (FOLDER / "torch.txt").read_text(encoding="utf-8").rpartition("sha256:")[2].strip()
    for hashes in ((listed,), ()):
        monkeypatch.setattr(installer, "_pip_install", reports(*hashes))
        installer._install_torch()
    assert installer.removed == []


def test_an_audit_that_cannot_be_made_is_told_and_no_earlier_one_counts(tmp_path, capsys):
    file = tmp_path / "audit.json"
    file.write_text('{"dependencies": []}', encoding="utf-8")
    assert _audit(Path(sys.executable), file) == []  # which has no pip-audit
    assert not file.exists()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Known vulnerabilities were NOT looked for")


def test_a_registry_without_such_data_audits_nothing(capsys):
    skipped = {"name": "numpy", "skip_reason": "Dependency not found on PyPI"}
    assert _vulnerable([skipped, skipped]) == []
    assert "NOT looked for" in capsys.readouterr().out
    bad = {"name": "x", "version": "1", "vulns": [{"id": "CVE-1"}]}
    assert _vulnerable([skipped, bad]) == ["x"]
    assert "1 packages were audited, of which 1" in capsys.readouterr().out


def _installed(names: set[str]) -> list[str]:
    known = {found.metadata["Name"].lower().replace("_", "-") for found in metadata.distributions()}
    return sorted(names & known)
