"""Who may import whom. The rules are in pyproject.toml, section [tool.importlinter]."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from factorizer_engine.protocol.tasks.components import COMPONENTS
from factorizer_engine.protocol.tasks.registry import JOBS, TASKS
from factorizer_engine.protocol.tasks.segment import SEGMENT

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_DIR = REPOSITORY / "FactorizerSegmentation"
HEAVY = {"torch", "monai", "nibabel", "SimpleITK", "scipy", "pydicom", "yaml", "pydantic"}
NOT_WAITED_FOR = {"monai", "matplotlib", "pandas", "nibabel", "SimpleITK", "pydicom", "sympy"}
"""Slow to import, and not needed to segment scans that come from Slicer with parallel axes."""
DRIVERS = (
    "factorizer_engine.protocol",
    "factorizer_engine.service.client",
    "factorizer_engine.service.worker",
)


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def engine_modules_of_slicer() -> list[str]:
    """The engine's modules that the Slicer process imports."""
    files = [
        *MODULE_DIR.glob("*.py"),
        *(MODULE_DIR / "FactorizerSegmentationLib").rglob("*.py"),
    ]
    named = {name for file in files for name in imports_of(file)}
    return sorted(
        name
        for name in named
        if name.startswith("factorizer_engine")
        and (MODULE_DIR / f"{name.replace('.', '/')}.py").is_file()
    )


def test_dependencies_point_one_way():
    # In a process of its own, since it switches off the loggers that other tests listen to.
    program = (
        "from importlinter.cli import lint_imports; "
        "raise SystemExit(lint_imports('pyproject.toml', no_cache=True, no_logo=True))"
    )
    search = {**os.environ, "PYTHONPATH": str(MODULE_DIR)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=search, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_engine_file_imports_slicer_even_inside_a_function():
    for file in (MODULE_DIR / "factorizer_engine").rglob("*.py"):
        packages = {name.partition(".")[0] for name in imports_of(file)}
        found = packages & {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt"}
        assert not found, f"{file.name} imports {found}"


def test_slicer_takes_the_protocol_from_the_engine_and_nothing_else():
    modules = engine_modules_of_slicer()
    assert "factorizer_engine.protocol.conversation" in modules
    assert [name for name in modules if not name.startswith("factorizer_engine.protocol")] == []


def test_what_the_engine_can_be_asked_has_one_file_of_its_name_in_every_room():
    assert {task.name for task in JOBS} == {
        file.stem
        for file in (MODULE_DIR / "factorizer_engine" / "service" / "jobs").glob("[!_]*.py")
    }
    library = MODULE_DIR / "FactorizerSegmentationLib"
    for task in (SEGMENT, COMPONENTS):  # what a user of Slicer starts
        for room in ("tasks", "panels"):
            assert (library / room / f"{task.name}.py").is_file()


def test_a_task_is_known_by_its_name():
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}


def packages_after(statement: str) -> set[str]:
    """All packages that a fresh process has imported after a statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=MODULE_DIR, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", sorted({*DRIVERS, *engine_modules_of_slicer()}))
def test_what_slicer_and_the_drivers_import_is_light(module):
    assert not packages_after(f"import {module}") & HEAVY


def test_a_first_segmentation_waits_for_no_import_that_it_does_not_need():
    from_start_to_result = (
        "from factorizer_engine import components; "
        "from factorizer_engine.service import exchange; "
        "from factorizer_engine.service.jobs import segment, components as job; "
        "from factorizer_engine.bundles.registry import resolve_model; "
        "from factorizer_engine.inference.segmenter import Segmenter; "
        "Segmenter(resolve_model('glioma-fast', 'cpu'), 'cpu')"
    )
    assert not packages_after(from_start_to_result) & NOT_WAITED_FOR
