"""What `factorizer_engine` itself offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import factorizer_engine


@pytest.mark.parametrize("name", factorizer_engine.__all__)
def test_every_stable_name_is_there_and_described(name):
    assert getattr(factorizer_engine, name).__doc__


def test_stable_names_are_listed_before_they_are_used():
    program = "import factorizer_engine; print(*dir(factorizer_engine))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert set(factorizer_engine.__all__) <= set(done.stdout.split())


def test_importing_the_package_is_cheap():
    program = "import sys, factorizer_engine; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "factorizer_engine" in done.stdout.split()
    assert not {"torch", "numpy", "monai"} & set(done.stdout.split())


def test_an_unknown_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        factorizer_engine.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from factorizer_engine import nothing  # noqa: F401
