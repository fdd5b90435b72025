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


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Small files that tests read."""
    return REPOSITORY / "Testing" / "data"
