"""What `factorizer_engine` itself offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import factorizer_engine


@pytest.mark.parametrize("name", factorizer_engine.__all__)
def test_every_stable_name_is_there_and_described(name):
    assert getattr(factorizer_engine, name).__doc__


def words_printed_by(program: str) -> set[str]:
    """What a fresh process prints."""
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_stable_names_are_listed_before_they_are_used():
    names = words_printed_by("import factorizer_engine; print(*dir(factorizer_engine))")

    assert set(factorizer_engine.__all__) <= names


def test_importing_the_package_is_cheap():
    modules = words_printed_by("import sys, factorizer_engine; print(*sys.modules)")

    assert "factorizer_engine" in modules
    assert not {"torch", "numpy", "monai"} & modules


def test_an_unknown_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        factorizer_engine.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from factorizer_engine import nothing  # noqa: F401
