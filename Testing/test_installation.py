"""That the engine works where pip has installed it, far from this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MODULE = "FactorizerSegmentation"
SAMPLE = REPOSITORY / MODULE / "Resources" / "SampleData" / "BrainTumour"
NEEDED = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder as site-packages, with what `pip install .` puts there of this project."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site-packages")
    for name in NEEDED:
        shutil.copy2(REPOSITORY / name, source)
    caches = shutil.ignore_patterns("__pycache__", "*.egg-info", "SampleData")
    shutil.copytree(REPOSITORY / MODULE, source / MODULE, ignore=caches)
    build = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", ".")
    subprocess.run([sys.executable, "-m", *build, "."], cwd=source, check=True)
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def factorizer(installed: Path, *arguments: str) -> str:
    """What the installed command prints."""
    own = {"PYTHONPATH": str(installed), "FACTORIZER_MODELS": str(installed / "none")}
    result = subprocess.run(
        [sys.executable, "-m", "factorizer_engine.cli", *arguments],
        **{"cwd": installed, "env": {**os.environ, **own}, "capture_output": True, "text": True},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_nothing_but_code_is_left_out(installed):
    code = REPOSITORY / MODULE / "factorizer_engine"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=code, check=True, capture_output=True, text=True
    )
    files = tracked.stdout.splitlines()
    missing = [name for name in files if not (installed / "factorizer_engine" / name).is_file()]
    assert not missing


def test_the_bundled_models_are_there(installed):
    names = sorted(path.name for path in (SAMPLE.parents[1] / "models").iterdir())
    listed = factorizer(installed, "models", "list")
    assert names and all(name in listed for name in names)


def test_published_models_are_listed(installed):
    assert "DeepISLES" in factorizer(installed, "models", "available")


def test_scans_are_checked(installed):
    scans = [f"{name}={SAMPLE / name}.nii.gz" for name in ("FLAIR", "T1", "T1ce", "T2")]
    inputs = [part for scan in scans for part in ("--input", scan)]
    said = factorizer(installed, "check", "--model", "glioma-fast", *inputs)
    assert said.strip() == "Nothing looks wrong."
