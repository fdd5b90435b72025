"""The stand-in for Slicer's window, for programs; tests have the fixture `host`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def window() -> Iterator:
    """A `HostApplication` with the module loaded; there can be one in a process."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import vtk

    from host.application import HostApplication

    vtk.vtkObject.GlobalWarningDisplayOff()
    logging.disable(logging.CRITICAL)
    host = HostApplication()
    try:
        yield host
    finally:
        host.close()
