"""Who may import whom. The rules are in pyproject.toml, section [tool.importlinter]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_DIR = REPOSITORY / "FactorizerSegmentation"
HEAVY = ("torch", "monai", "nibabel", "SimpleITK", "scipy", "pydicom", "yaml", "pydantic")


def test_dependencies_point_one_way(capsys):
    assert lint_imports(str(REPOSITORY / "pyproject.toml"), no_cache=True, no_logo=True) == 0, (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("package", ["slicer", "vtk", "qt", "ctk"])
def test_no_engine_file_mentions_an_import_of_slicer(package):
    statements = (f"import {package}", f"from {package}", f'import_module("{package}')
    for file in (MODULE_DIR / "factorizer_engine").rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            words = line.strip().replace(".", " ").replace(",", " ").split()
            assert " ".join(words[:2]) not in statements, f"{file.name}: {line}"
            assert statements[2] not in line, f"{file.name}: {line}"


@pytest.mark.parametrize(
    "statement",
    [
        "import factorizer_engine.protocol",
        "import factorizer_engine.wire",
        "import factorizer_engine.errors",
        "import factorizer_engine.monitor",
        "import factorizer_engine.client",
        "import factorizer_engine.worker",
    ],
)
def test_what_slicer_and_the_drivers_import_is_light(statement):
    program = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=MODULE_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
