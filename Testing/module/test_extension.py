"""What Slicer's build and the extensions index read."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "FactorizerSegmentation"
LIBRARY = MODULE / "FactorizerSegmentationLib"
REMEDY = "CMakeLists.txt does not list the files as they are. Run: python3 run.py lists"


def cmake_list(name: str) -> list[str]:
    """The entries of `set(name ...)` in the module's CMakeLists.txt."""
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    content = re.search(rf"set\({name}\s([^)]*)\)", text).group(1)
    return content.replace("${MODULE_NAME}", "FactorizerSegmentation").split()


def files_under(*folders: str) -> set[str]:
    """Files in the tree, relative to the module, without caches."""
    paths = (path for folder in folders for path in (MODULE / folder).rglob("*"))
    kept = (path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(MODULE).as_posix() for path in kept}


def extension_setting(name: str) -> str:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf'set\(EXTENSION_{name} "([^"]*)"', text).group(1)


def s4ext() -> dict[str, str]:
    lines = (REPOSITORY / "FactorizerExtension.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" ", 1) for line in lines if line.strip() and not line.startswith("#"))
    return {pair[0]: pair[1].strip() for pair in pairs}


def run_py():
    """The module run.py at the repository's root."""
    specification = importlib.util.spec_from_file_location("run_py", REPOSITORY / "run.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_lists_of_installed_files_are_up_to_date():
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")

    assert run_py().with_current_lists(text) == text, REMEDY


def test_every_python_file_is_installed():
    code = {name for name in files_under("FactorizerSegmentationLib", "factorizer_engine")}
    wanted = {name for name in code if name.endswith(".py")} | {"FactorizerSegmentation.py"}

    assert set(cmake_list("MODULE_PYTHON_SCRIPTS")) == wanted, REMEDY


def test_every_resource_is_installed():
    code = files_under("FactorizerSegmentationLib", "factorizer_engine")
    data = {name for name in code if not name.endswith((".py", ".pyc"))}

    assert set(cmake_list("MODULE_PYTHON_RESOURCES")) == data | files_under("Resources"), REMEDY


def test_lists_lose_what_is_gone_and_gain_what_is_new():
    run = run_py()
    current = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    stale = current.replace("  factorizer_engine/__init__.py\n", "  factorizer_engine/gone.py\n")

    assert stale != current
    assert run.with_current_lists(stale) == run.with_current_lists(current)


@pytest.mark.parametrize("name", ["MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"])
def test_nothing_is_listed_twice_and_lists_are_sorted(name):
    entries = cmake_list(name)[1 if name.endswith("SCRIPTS") else 0 :]

    assert entries == sorted(set(entries))


def test_the_project_is_called_like_the_extension():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")

    assert "project(FactorizerExtension)" in text
    assert extension_setting("DEPENDS") == "PyTorch"


def test_all_descriptions_say_the_same():
    index = json.loads((REPOSITORY / "FactorizerExtension.json").read_text(encoding="utf-8"))

    assert index["category"] == s4ext()["category"] == extension_setting("CATEGORY")
    assert index["scm_url"] == s4ext()["scmurl"]
    assert index["build_dependencies"] == s4ext()["depends"].split() == ["PyTorch"]
    assert s4ext()["homepage"] == extension_setting("HOMEPAGE")
    assert s4ext()["iconurl"] == extension_setting("ICONURL")


def test_the_description_has_only_what_the_schema_knows():
    index = json.loads((REPOSITORY / "FactorizerExtension.json").read_text(encoding="utf-8"))
    known = {
        "$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies",
        "dicom_support_rule", "build_subdirectory", "enabled", "tier",
    }  # fmt: skip

    assert {"$schema", "category", "scm_url"} <= set(index) <= known
    assert index["$schema"].endswith("schema-v1.0.2.json#")
    assert 1 <= index["tier"] <= 5


@pytest.mark.parametrize(
    "path",
    [
        REPOSITORY / "FactorizerExtension.png",
        MODULE / "Resources" / "Icons" / "FactorizerSegmentation.png",
    ],
    ids=lambda path: path.name,
)
def test_icons_have_the_size_that_the_index_asks_for(path):
    with Image.open(path) as icon:
        assert icon.size == (128, 128)
        assert icon.mode == "RGBA"


@pytest.mark.parametrize("panel", sorted(path.stem for path in MODULE.glob("Resources/UI/*.ui")))
def test_every_widget_that_a_panel_uses_is_in_its_ui_file(panel):
    form = ElementTree.parse(MODULE / "Resources" / "UI" / f"{panel}.ui")
    names = {element.get("name") for element in form.iter() if element.tag in ("widget", "layout")}
    source = next(path for path in LIBRARY.glob("panels/*.py") if f"class {panel}" in _text(path))

    used = {
        node.attr
        for node in ast.walk(ast.parse(_text(source)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self.ui", "ui")
    }

    assert used
    assert used <= names


def test_the_sample_is_registered_with_its_checksums():
    from hashlib import sha256

    from FactorizerSegmentationLib.sample_data import CHECKSUMS, SAMPLE_FOLDER

    for channel, checksum in CHECKSUMS.items():
        digest = sha256((SAMPLE_FOLDER / f"{channel}.nii.gz").read_bytes()).hexdigest()
        assert checksum == f"SHA256:{digest}"


def test_the_module_file_imports_nothing_of_the_library_at_file_scope():
    tree = ast.parse(_text(MODULE / "FactorizerSegmentation.py"))
    imported = [ast.unparse(node) for node in tree.body if isinstance(node, ast.ImportFrom)]

    assert not any("FactorizerSegmentationLib" in line for line in imported)
    assert not any("factorizer_engine" in line for line in imported)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
