"""The documentation is built from pages and code, and says what is so."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import factorizer_engine
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import ModelChoice, Study

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name / "index.html").read_text(encoding="utf-8")


def imported(path: Path):
    """A Python file as a module."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


def architecture():
    """The script that draws the picture."""
    return imported(DOCS / "tools" / "architecture.py")


def test_pages_fetch_nothing_from_elsewhere(site):
    fetched = re.compile(r"""<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|@import|"""
                         r"""<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//""")  # fmt: skip

    found = {
        str(path.relative_to(site))
        for path in site.rglob("*.html")
        if fetched.search(path.read_text(encoding="utf-8"))
    }

    assert found == set()


def test_every_command_is_described(site):
    text = page(site, "reference/command-line")

    for command in ("segment", "components", "inspect", "train", "evaluate", "models import"):
        assert f"<code>factorizer {command}</code>" in text


def test_every_stable_name_is_described(site):
    text = page(site, "reference/python")

    for name in factorizer_engine.__all__:
        assert f'id="factorizer_engine.{name}"' in text, name


def test_formulas_are_set(site):
    text = page(site, "explanation/mathematics")

    assert text.count("<math") > 40
    assert "$" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_picture_of_the_architecture_is_up_to_date():
    script = architecture()

    picture = script.PICTURE.read_text(encoding="utf-8")

    assert script.draw(script.rooms()) == picture, (
        "Who imports whom has changed. Run: python3 run.py docs"
    )


def test_every_room_is_explained():
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")

    names = {room.rpartition(".")[2] for room in architecture().rooms()}

    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_picture_leaves_out_only_arrows_that_follow_from_others():
    import networkx as nx

    script = architecture()
    rooms = nx.DiGraph([("a", "b"), ("b", "c"), ("a", "c")])
    prefixed = nx.relabel_nodes(rooms, lambda name: f"factorizer_engine.{name}")
    prefixed.add_edge("factorizer_engine.c", script.SHARED)
    prefixed.add_edge("FactorizerSegmentationLib.x", script.SHARED)

    text = script.draw(prefixed)

    assert text.count("<path d=") == 1 + 4  # the tip, and a-b, b-c, c-shared, x-shared
    for name in "abcx":
        assert f">{name}</text>" in text


def test_the_tutorial_shows_every_picture_that_its_script_takes_in_order():
    page = (DOCS / "start" / "tutorial.md").read_text(encoding="utf-8")
    script = (REPOSITORY / "Testing" / "demo" / "tutorial.py").read_text(encoding="utf-8")
    taken = re.findall(r'yield "([\w-]+)"', script)

    assert len(taken) == 10
    assert re.findall(r"\(tutorial/([\w-]+)\.jpg\)", page) == taken
    assert all((DOCS / "start" / "tutorial" / f"{name}.jpg").exists() for name in taken)


def test_the_guide_names_every_section_of_the_panel_in_order():
    guide = (DOCS / "guide" / "slicer.md").read_text(encoding="utf-8")
    library = REPOSITORY / "FactorizerSegmentation" / "FactorizerSegmentationLib"
    code = (library / "panels" / "workbench.py").read_text(encoding="utf-8")
    sections = re.findall(r'Section\(\s*_\("([^"]+)"\)', code)

    assert len(sections) == 7
    (sentence,) = re.findall(r"has seven sections: (.*)", guide)
    assert re.findall(r"\*\*([^*]+)\*\*", sentence) == sections


def test_rooms_that_import_each_other_in_a_circle_are_refused(monkeypatch):
    script = architecture()

    class Graph:
        def find_children(self, package):
            return {f"{package}.a", f"{package}.b"}

        def direct_import_exists(self, importer, imported, as_packages):
            return importer.split(".")[0] == imported.split(".")[0]

    monkeypatch.setattr(script.grimp, "build_graph", lambda *packages, **options: Graph())

    with pytest.raises(ValueError, match="in a circle"):
        script.rooms()


def test_the_index_of_the_training_log_has_every_entry():
    text = (DOCS / "evidence" / "training-log.md").read_text(encoding="utf-8")
    index, entries = text.split("\n## ", 1)

    headings = re.findall(r"^## (.+)$", f"## {entries}", re.MULTILINE)

    for heading in headings:
        date, question = heading.split(" · ", 1)
        assert re.search(rf"^\| {date} \|.*\[{re.escape(question)}\]\(#", index, re.MULTILINE), (
            heading
        )


def python_of(name: str) -> list[str]:
    """The Python on a page, block by block."""
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


def defined_in(source: str) -> set[str]:
    """What a file defines or imports at its top level."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize(
    "name",
    ["how-to/add-a-task.md", "how-to/add-a-panel.md", "reference/python.md", "start/tour.md"],
)
def test_what_the_pages_import_exists(name):
    code = REPOSITORY / "FactorizerSegmentation"
    example = [
        block for page in ("task", "panel") for block in python_of(f"how-to/add-a-{page}.md")
    ]
    written = {block[2 : block.index("\n")]: block for block in example if block.startswith("# ")}

    imports = [
        node
        for block in python_of(name)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith(("factorizer_engine", "FactorizerSegmentationLib"))
    ]

    assert imports
    for node in imports:
        path = (node.module or "").replace(".", "/")
        files = [code / f"{path}.py", code / path / "__init__.py"]
        source = written.get(f"{path}.py") or next(f for f in files if f.is_file()).read_text()
        assert {alias.name for alias in node.names} <= defined_in(source) | set(
            factorizer_engine.__all__
        ), ast.unparse(node)


def test_the_task_of_the_how_to_can_be_asked_for(tmp_path):
    block = next(b for b in python_of("how-to/add-a-task.md") if "protocol/tasks/" in b[:60])
    path = tmp_path / "task_of_the_how_to.py"
    path.write_text(block, encoding="utf-8")

    task = imported(path).UNCERTAINTY

    assert task.name == "uncertainty"
    with pytest.raises(BadInputError, match="for which region"):
        task.params(ModelChoice("glioma"), Study({}), "out")


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_links_of_the_pages_work_in_the_repository_too(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    local = [link.split("#")[0] for link in links if not re.match(r"\w+:|#", link)]

    assert [link for link in local if not Path(os.path.normpath(path.parent / link)).exists()] == []
