"""Names that every system can keep."""

from __future__ import annotations

import pytest

from factorizer_engine.protocol.names import is_portable, model_name_problem, slug


@pytest.mark.parametrize("name", ["a", "model.pt", "Ünï", "com10", "console", ".hidden", "a b"])
def test_usual_names_are_portable(name):
    assert is_portable(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "C:", "con", "CON", "Nul.txt", "com1", "LPT9.log", "aux .x"]
    + ["x.", "x ", "a\0b", "a\nb", "what?", 256 * "x", 128 * "ü"],
)
def test_names_of_devices_and_unusable_letters_are_not(name):
    assert not is_portable(name)


@pytest.mark.parametrize(
    "text", ["", "..", "con", "NUL", "My Model (2)", 300 * "x", 63 * "x" + "-y"]
)
def test_a_slug_is_a_name_of_a_model(text):
    assert model_name_problem(slug(text)) == ""


@pytest.mark.parametrize("name", ["", "..", " a", "a/b", "con", 65 * "x"])
def test_other_names_are_refused_with_the_reason(name):
    assert model_name_problem(name)
