"""The module's source against the record of a real Slicer: nothing may work only in the host."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer")

from host.record import record  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "FactorizerSegmentation"
SOURCES = [
    FOLDER / "FactorizerSegmentation.py",
    *sorted((FOLDER / "FactorizerSegmentationLib").rglob("*.py")),
]
FORMS = sorted((FOLDER / "Resources" / "UI").glob("*.ui"))

NAMESPACE = {
    "app": "qSlicerApplication",
    "mrmlScene": None,
    "modules": None,
    "util": None,
    "i18n": None,
    "packaging": None,
    "selfTests": None,
    "ScriptedLoadableModule": None,
    "parameterNodeWrapper": None,
}
"""Names in `slicer` that are not classes, and the recorded class of some."""

MODULES = set(
    "annotations cameras colors cropvolumesequence data dataprobe endoscopy eventbroker "
    "importitksnaplabel markups models plots reformat sampledata sceneviews screencapture "
    "segmenteditor segmentstatistics segmentations sequences subjecthierarchy tables terminologies "
    "texts transforms units vectortoscalarvolume viewcontrollers volumerendering volumes "
    "webserver welcome".split()
)
DICOM_DATABASE = {"isOpen", "instanceValue", "fileForInstance"}
"""Members of ctkDICOMDatabase, which the record lacks, as Slicer's documentation has them."""
QT_FUNCTIONS = {"Signal", "Slot", "SIGNAL", "SLOT", "qVersion"}
PYTHON_NAMES = {"connect", "disconnect", "emit"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def chains(tree: ast.Module) -> Iterator[tuple[ast.Attribute, list[str]]]:
    """Every dotted name with its parts, inner ones too."""
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name):
            yield node, [inner.id, *parts]


def unknown(parts: list[str]) -> bool:
    """Whether a dotted name rooted in slicer, qt or ctk is one that a real Slicer lacks."""
    root, first, *rest = parts
    if root in ("qt", "ctk"):
        if first in QT_FUNCTIONS:
            return False
        entry = record().classes.get(first)
        if entry is None or entry.module != root:
            return True
        return bool(rest) and rest[0] not in record().members(first) | PYTHON_NAMES
    if first in NAMESPACE:
        return bool(rest) and unknown_in_namespace(first, rest[0])
    if first in record().classes:
        return record().classes[first].module != "slicer"
    known = getattr(slicer, first, None)
    if known is None or not first.startswith("vtk"):
        return True
    return bool(rest) and not hasattr(known, rest[0])


def unknown_in_namespace(namespace: str, name: str) -> bool:
    if namespace == "util":
        return not hasattr(slicer.util, name)
    if namespace == "app":
        return name not in record().members("qSlicerApplication") | PYTHON_NAMES
    if namespace == "mrmlScene":
        return not hasattr(slicer.vtkMRMLScene, name)
    if namespace == "modules":
        return name.lower().removesuffix("widget") not in MODULES
    return False


def form_classes() -> dict[str, str]:
    """The class of each named widget in the forms."""
    found = {}
    for form in FORMS:
        for widget in ElementTree.parse(form).iter("widget"):
            found[widget.get("name")] = widget.get("class")
    return found


def form_members(tree: ast.Module) -> Iterator[tuple[ast.Attribute, str, str, str]]:
    """Uses of widgets from forms: the node, the widget's name, its class, and the member."""
    classes = form_classes()
    for node, parts in chains(tree):
        if "ui" in parts and len(parts) >= parts.index("ui") + 3:
            widget, member = parts[parts.index("ui") + 1 : parts.index("ui") + 3]
            if widget in classes and parts.index("ui") + 3 == len(parts):
                yield node, widget, classes[widget], member


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def truths(node: ast.AST) -> list[ast.expr]:
    """The expressions whose truth a piece of code asks for."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        return [node.test]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [node.operand]
    return node.ifs if isinstance(node, ast.comprehension) else []


def names_a_layout(expression: ast.expr) -> bool:
    """Whether `layout`, `self.formLayout`, `box.layout()` and the like."""
    if isinstance(expression, ast.Call):
        expression = expression.func
    name = getattr(expression, "attr", getattr(expression, "id", ""))
    return name.lower().endswith("layout")


def caught_by(block: ast.Try) -> set[str]:
    """The names of the exceptions that a `try` catches."""
    types = [handler.type for handler in block.handlers if handler.type is not None]
    return {node.id for kind in types for node in ast.walk(kind) if isinstance(node, ast.Name)}


def test_there_is_something_to_check():
    assert len(SOURCES) > 10 and len(FORMS) >= 2


@pytest.mark.parametrize(
    "name",
    [
        "qt.Qt.CTRL",
        "qt.QVariant",
        "qt.QTest",
        "qt.QMetaObject.invokeMethod",
        "slicer.app.libraries",
        "slicer.app.toolsDir",
        "slicer.slicerDataModule",
        "slicer.util.runTests",
        "slicer.modules.dicom",
        "ctk.ctkNothing",
    ],
)
def test_names_that_fail_in_a_real_slicer_are_noticed(name):
    assert unknown(name.split("."))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_slicer_qt_and_ctk_name_exists_in_a_real_slicer(path):
    wrong = {
        ".".join(parts)
        for _, parts in chains(parsed(path))
        if parts[0] in ("slicer", "qt", "ctk") and unknown(parts)
    }

    assert wrong == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_members_of_form_widgets_exist_in_a_real_slicer(path):
    wrong = {
        f"{widget}.{member}"
        for _, widget, name, member in form_members(parsed(path))
        if member not in record().members(name) | PYTHON_NAMES
    }

    assert wrong == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_properties_of_form_widgets_are_not_called(path):
    tree = parsed(path)
    members = {
        id(node): (widget, name, member) for node, widget, name, member in form_members(tree)
    }
    called = [members[id(call.func)] for call in calls(tree) if id(call.func) in members]

    assert [use for use in called if use[2] in record().properties(use[1])] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_signatures_of_signals_are_recorded(path):
    tree = parsed(path)
    members = {
        id(node): (widget, name, member) for node, widget, name, member in form_members(tree)
    }
    wrong = []
    for call in calls(tree):
        widget, name, member = members.get(id(call.func), ("", "", ""))
        if member in ("connect", "disconnect"):
            signal = call.args[0].value
            if signal not in record().signals(name):
                wrong.append(f"{widget}: {signal}")

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_literal_signal_belongs_to_some_recorded_class(path):
    every = {signal for entry in record().classes.values() for signal in entry.signals}
    wrong = []
    for call in calls(parsed(path)):
        named = isinstance(call.func, ast.Attribute) and call.func.attr in PYTHON_NAMES
        if named and call.args and isinstance(call.args[0], ast.Constant):
            if re.fullmatch(r"\w+\(.*\)", str(call.args[0].value)):
                wrong += [] if call.args[0].value in every else [call.args[0].value]

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_qt_classes_get_no_keyword_arguments(path):
    wrong = [
        ast.unparse(call)
        for call in calls(parsed(path))
        if call.keywords and ast.unparse(call.func).startswith(("qt.", "ctk."))
    ]

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_idiom_is_used_that_fails_in_a_real_slicer(path):
    wrong = []
    for call in calls(parsed(path)):
        text = ast.unparse(call)
        if text.startswith(("isinstance(", "issubclass(")) and re.search(r"\b(qt|ctk)\.", text):
            wrong.append(text)  # wrapped classes have no Python inheritance
        if re.match(r"super\(\)\.(\w+Event|event)\(", text):
            wrong.append(text)  # only the base class by name works
        if text.startswith(("bytes(qt.", "len(qt.QByteArray", "qt.QSignalBlocker")):
            wrong.append(text)

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_layouts_are_reached_by_their_widgets(path):
    """`childWidgetVariables` lacks layouts that are empty in the form."""
    layouts = {
        layout.get("name") for form in FORMS for layout in ElementTree.parse(form).iter("layout")
    }
    wrong = {
        ".".join(parts)
        for _, parts in chains(parsed(path))
        if "ui" in parts[:-1] and parts[parts.index("ui") + 1] in layouts
    }

    assert wrong == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_layouts_are_not_asked_for_their_truth(path):
    """An empty one is false."""
    asked = [truth for node in ast.walk(parsed(path)) for truth in truths(node)]

    assert [ast.unparse(truth) for truth in asked if names_a_layout(truth)] == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("if layout: pass", True),
        ("if not self.layout(): pass", True),
        ("while a and form._layout: pass", True),
        ("x = layout or other", True),
        ("x = 1 if box.layout() else 2", True),
        ("y = [l for l in z if l.layout]", True),
        ("if layout is not None: pass", False),
        ("if layout.count(): pass", False),
    ],
)
def test_a_layout_that_is_asked_for_its_truth_is_noticed(code, wrong):
    asked = [truth for node in ast.walk(ast.parse(code)) for truth in truths(node)]

    assert any(names_a_layout(truth) for truth in asked) is wrong


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms_use_recorded_classes_and_properties(form):
    wrong = []
    for widget in ElementTree.parse(form).iter("widget"):
        name = widget.get("class")
        if name not in record().classes:
            wrong.append(name)
            continue
        for entry in widget.findall("property"):
            dynamic = entry.get("stdset") == "0"
            if not dynamic and entry.get("name") not in record().properties(name):
                wrong.append(f"{name}.{entry.get('name')}")

    assert wrong == []


def test_the_dicom_library_which_is_not_recorded_is_asked_where_it_may_fail():
    asking = {path.name for path in SOURCES if "DICOMLib" in path.read_text(encoding="utf-8")}
    (path,) = (path for path in SOURCES if path.name == "dicom_database.py")
    tree = parsed(path)
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        and {"ImportError", "AttributeError", "TypeError"} <= caught_by(node)
        for inner in ast.walk(node)
    }
    uses = {
        node
        for node in ast.walk(tree)
        if getattr(node, "module", "") == "DICOMLib" or getattr(node, "id", "") == "DICOMUtils"
    }

    assert asking == {path.name}
    assert len(uses) >= 2 and uses <= guarded


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_members_of_the_dicom_database_are_known(path):
    used = {
        parts[index + 1]
        for _, parts in chains(parsed(path))
        for index, part in enumerate(parts[:-1])
        if part in ("database", "_database", "dicomDatabase")
    }

    assert used <= DICOM_DATABASE
