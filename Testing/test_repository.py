"""What must hold for the repository as a whole."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = REPOSITORY / "FactorizerSegmentation" / "Resources" / "SampleData" / "BrainTumour"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files under version control that exist."""
    if not (REPOSITORY / ".git").exists() or not shutil.which("git"):
        pytest.skip("This copy of the repository is not under version control.")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout
    paths = [REPOSITORY / name for name in names.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_the_repository_stays_small_enough_for_the_extensions_index(tracked):
    sizes = {path: path.stat().st_size for path in tracked}

    assert sum(sizes.values()) < 60 * MEGABYTE
    assert [path for path, size in sizes.items() if size > 20 * MEGABYTE] == []


def test_what_is_sent_to_a_lent_graphics_card_leaves_room_for_packages_and_cases(tracked):
    recorded = REPOSITORY / "Testing" / "data"  # see `device.lease`
    sent = [path for path in tracked if recorded not in path.parents]
    packages, part, most = 16 * MEGABYTE, 20 * MEGABYTE, 64 * 2**20

    assert sum(path.stat().st_size for path in sent) + packages + part < most


def test_no_file_names_a_folder_or_a_host_of_one_machine(tracked):
    folders = r"(?<![\w./])/(?:work|root|home|Users)/\w"
    hosts = r"pypi\.(?:org|io)|files\.pythonhosted|download\.pytorch"
    forbidden = re.compile(f"{folders}|{hosts}")

    found = {
        f"{path.relative_to(REPOSITORY)}: {match.group()}"
        for path in tracked
        if path != Path(__file__).resolve()
        for match in forbidden.finditer(_text(path))
    }

    assert found == set()


def test_source_files_stay_readable(tracked):
    too_long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in tracked
        if path.suffix == ".py" and (lines := len(_text(path).splitlines())) > 400
    }

    assert too_long == {}


def test_run_py_needs_only_the_standard_library():
    tree = ast.parse((REPOSITORY / "run.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names}  # fmt: skip
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_run_py_explains_its_commands():
    command = [sys.executable, str(REPOSITORY / "run.py"), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert re.search(r"^demo\s+\w+", text, re.MULTILINE)
    assert re.search(r"^test\s+\w+", text, re.MULTILINE)
    assert re.search(r"^docs\s+\w+", text, re.MULTILINE)
    assert re.search(r"^lists\s+\w+", text, re.MULTILINE)


def test_continuous_integration_runs_the_test_command():
    script = REPOSITORY / ".ci" / "run"

    assert script.read_text().splitlines()[-1] == "python3 run.py test"
    assert os.name == "nt" or os.access(script, os.X_OK)


def test_the_sample_scans_lie_on_one_grid_and_the_label_follows_the_convention():
    scans = {name: nib.load(SAMPLE / f"{name}.nii.gz") for name in ("FLAIR", "T1", "T1ce", "T2")}
    label = nib.load(SAMPLE / "label.nii.gz")

    for scan in scans.values():
        assert scan.shape == label.shape
        np.testing.assert_allclose(scan.affine, label.affine)
        np.testing.assert_allclose(scan.get_qform(), scan.get_sform())
    assert set(np.unique(np.asanyarray(label.dataobj))) == {0, 1, 2, 4}


def test_the_sample_says_where_it_comes_from_and_may_be_shipped():
    text = (SAMPLE / "ATTRIBUTION.md").read_text()

    assert "CC BY 3.0" in text
    assert "10.7937/K9/TCIA.2017.KLXWJJ1Q" in text


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_local_link_of_the_documents_leads_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", (REPOSITORY / name).read_text())
    local = [link.split("#")[0] for link in links if not re.match(r"\w+:|#", link)]

    assert [link for link in local if not (REPOSITORY / link).exists()] == []


def test_what_the_readme_imports_exists():
    snippet = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    imports = [line for line in snippet.group(1).splitlines() if "import " in line]

    assert imports
    exec("\n".join(imports), {})


def test_the_licence_is_apache_2():
    text = (REPOSITORY / "LICENSE").read_text()

    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def _text(path: Path) -> str:
    """The file's text, or nothing for a binary file."""
    content = path.read_bytes()
    return "" if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")
