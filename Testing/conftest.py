"""Paths and fixtures that all tests share."""

from __future__ import annotations

import os
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


@pytest.fixture(scope="session")
def host():
    """The stand-in for Slicer's window with the module loaded; there is one per process."""
    pytest.importorskip("slicer")
    pytest.importorskip("PySide6")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from host.application import HostApplication

    application = HostApplication()
    yield application
    application.close()
