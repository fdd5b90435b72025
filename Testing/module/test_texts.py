"""What the module says can be translated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = (
    Path(__file__).resolve().parents[2] / "FactorizerSegmentation" / "FactorizerSegmentationLib"
)
SOURCES = sorted(LIBRARY.rglob("*.py"))
PROPERTIES = {
    "text", "toolTip", "title", "placeholderText", "plainText", "noneDisplay",
    "windowTitle", "accessibleName", "prefix", "suffix",
}  # fmt: skip
CALLS = {
    "setText", "setToolTip", "setTitle", "setWindowTitle", "addItem", "setItemText", "addRow",
    "addAction", "QLabel", "QPushButton", "Section", "Step", "setStatus", "ended", "started",
    "errorDisplay", "infoDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
    "getOpenFileName", "getSaveFileName", "getExistingDirectory",
    "SceneError", "BadInputError", "InternalError",
}  # fmt: skip
"""Functions whose arguments people read."""


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def shown(tree: ast.Module) -> Iterator[ast.expr]:
    """The expressions that become texts of widgets, dialogs, steps and errors."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = {getattr(target, "attr", "") for target in node.targets}
            if targets & PROPERTIES:
                yield node.value
        elif isinstance(node, ast.Call) and name_of(node) in CALLS:
            yield from node.args


def untranslated(tree: ast.Module) -> list[str]:
    """Words in such expressions that are not handed to `_`; filters of file names are no words."""
    translated = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name_of(node) == "_"
        for inner in ast.walk(node)
    }
    return [
        inner.value
        for expression in shown(tree)
        for inner in ast.walk(expression)
        if isinstance(inner, ast.Constant)
        and isinstance(inner.value, str)
        and re.search(r"[A-Za-z]+ [A-Za-z]+|\b[A-Z][a-z]{2,}", inner.value)
        and "*." not in inner.value
        and id(inner) not in translated
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_texts_for_people_are_translated(path):
    assert untranslated(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("label.text = 'Choose a lesion.'", ["Choose a lesion."]),
        ("label.toolTip = reason or 'Nothing'", ["Nothing"]),
        ("label.text = f'{count} files written'", [" files written"]),
        ("raise SceneError('It is gone.')", ["It is gone."]),
        ("label.text = _('Choose a lesion.')", []),
        ("label.text = _('{n} files').format(n=3)", []),
        ("combo.addItem('', quality.value)", []),
    ],
)
def test_texts_that_are_not_translated_are_noticed(code, found):
    assert untranslated(ast.parse(code)) == found
