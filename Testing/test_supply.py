"""What the engine is made of may be shipped with it."""

from __future__ import annotations

from importlib import metadata

import pytest

from supply.__main__ import ENGINE, is_binding, licence_of, needed_by


@pytest.mark.parametrize(
    ("licence", "binds"),
    [
        ("GPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("LGPL-3.0", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MIT OR GPL-2.0", False),
        ("Apache-2.0", False),
        ("", False),
    ],
)
def test_which_licences_bind(licence, binds):
    assert is_binding(licence) == binds


def test_nothing_that_the_engine_needs_binds_it():
    needed = needed_by(ENGINE)
    assert {"torch", "numpy", "nibabel"} <= needed
    assert not {"pytest", "mkdocs", "ruff"} & needed
    found = {name: licence_of(metadata.distribution(name)) for name in _installed(needed)}
    assert len(found) > 20
    assert {name: text for name, text in found.items() if is_binding(text)} == {}


def _installed(names: set[str]) -> list[str]:
    known = {found.metadata["Name"].lower().replace("_", "-") for found in metadata.distributions()}
    return sorted(names & known)
