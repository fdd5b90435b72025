"""Paths and fixtures that all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MODULE_DIR = REPOSITORY / "FactorizerSegmentation"
for folder in (MODULE_DIR, REPOSITORY / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from in_use import files_in_use_stay  # noqa: E402, F401 (a fixture)

LONG = (
    "host/test_windows.py", "benchmarks/test_benchmark.py", "test_demo.py",
    "engine/factorization/test_compiled.py", "engine/factorization/test_compiled_mixing.py",
    "engine/factorization/test_fused_fallback.py", "engine/service/remote/test_remote_engine.py",
)  # fmt: skip
"""Files whose tests take longest; begun first, no process is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files before the others, which stay in their order."""
    first = {REPOSITORY / "Testing" / name for name in LONG}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Small files that tests read."""
    return REPOSITORY / "Testing" / "data"
