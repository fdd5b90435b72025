"""Names that every system can keep."""

from __future__ import annotations

import pytest

from factorizer_engine.protocol.names import is_portable, model_name_problem, plain_name, slug


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
    ("text", "name"),
    [
        ("T1ce (3D)", "T1ce (3D)"),
        ("/../../etc/passwd", "_______etc_passwd"),
        ("a\\b:c*\x1b", "a_b_c__"),
        ("\u00dcn\u00ef.", "\u00dcn\u00ef_"),
    ],
)
def test_names_of_others_become_parts_of_files_names_that_lead_nowhere(text, name):
    assert plain_name(text) == name
    assert is_portable(f"prepared_{name}.nii.gz")


@pytest.mark.parametrize(
    "text", ["", "..", "con", "NUL", "My Model (2)", 300 * "x", 63 * "x" + "-y"]
)
def test_a_slug_is_a_name_of_a_model(text):
    assert model_name_problem(slug(text)) == ""


@pytest.mark.parametrize("name", ["", "..", " a", "a/b", "con", 65 * "x"])
def test_other_names_are_refused_with_the_reason(name):
    assert model_name_problem(name)
