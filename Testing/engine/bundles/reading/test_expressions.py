"""`$` expressions and `@` references are read, never evaluated."""

from __future__ import annotations

import pytest

from factorizer_engine.bundles.architecture import _PARTS, FACTORIZER, MONAI_NETWORKS
from factorizer_engine.bundles.reading.expressions import CLASS_NAMES, References, parse_expression
from factorizer_engine.protocol.errors import BadModelError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$nn.ReLU", "ReLU"),
        ("$torch.nn.GELU", "GELU"),
        ("$factorizer.SWMatricize", "SWMatricize"),
        ("$NMF", "NMF"),
        ("$None", None),
        ("$True", True),
        ("$-2.5e-8", -2.5e-8),
        ("$(1, [2, 'x'])", [1, [2, "x"]]),
        ("$[factorizer.SWMatricize, {'head_dim': 8}]", ["SWMatricize", {"head_dim": 8}]),
    ],
)
def test_literals_and_known_classes_are_read(text, value):
    assert parse_expression(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "$__import__('os').system('true')",
        "$os.system",
        "$nn.Module",
        "$evil.ReLU",
        "$nn.evil.SWMatricize()",
        "$lambda x: x",
        "$[i for i in (1, 2)]",
        "$1 + 1",
        "$f'{1}'",
        "$(x := 1)",
        "$ReLU()",
        "$ReLU.__mro__",
        '$torch.float32"',
        "$",
        "$" + "(" * 5000,
    ],
)
def test_any_other_expression_is_refused_and_quoted(text):
    with pytest.raises(BadModelError) as refused:
        parse_expression(text)
    assert repr(text) in str(refused.value)


def test_references_are_followed_through_lists_mappings_and_expressions():
    content = {"a": [1, {"b": "@c"}], "c": "$[@d, 2]", "d": "$nn.ReLU"}
    references = References(content)
    assert references.resolve({"x": "@a::1::b", "y": "@a#0"}) == {"x": ["ReLU", 2], "y": 1}


def test_an_undefined_reference_is_named():
    with pytest.raises(BadModelError, match="@nowhere"):
        References({}).resolve(["@nowhere"])


def test_references_in_a_circle_are_refused():
    with pytest.raises(BadModelError, match="refers to itself"):
        References({"a": "@b", "b": "@a"}).resolve("@a")


def test_a_configuration_that_grows_when_references_are_followed_is_refused():
    levels = {f"level{i}": [f"@level{i + 1}"] * 10 for i in range(12)}
    with pytest.raises(BadModelError, match="nested too deeply"):
        References({**levels, "level12": 1}).resolve("@level0")


def test_a_component_that_is_not_instantiated_becomes_a_class_with_arguments():
    part = {"_target_": "factorizer.SWMatricize", "_mode_": "partial", "head_dim": 4}
    assert References({}).resolve({"reshape": part}) == {
        "reshape": ["SWMatricize", {"head_dim": 4}]
    }


def test_every_class_that_may_be_named_exists():
    assert CLASS_NAMES == {FACTORIZER} | MONAI_NETWORKS | _PARTS.keys()
