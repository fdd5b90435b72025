"""What the user has set about the engine for all scenes, in Slicer's settings."""

from __future__ import annotations

import qt
import slicer

PYTHON_SETTING = "FactorizerSegmentation/Python"
IDLE_SETTING = "FactorizerSegmentation/IdleMinutes"
DEFAULT_IDLE_MINUTES = 15


def enginePython() -> str:
    """The Python program that runs the engine; "" for Slicer's own."""
    return slicer.util.settingsValue(PYTHON_SETTING, "").strip()


def setEnginePython(program: str) -> None:
    """See `enginePython`."""
    qt.QSettings().setValue(PYTHON_SETTING, program.strip())


def idleMinutes() -> int:
    """After so long without work the engine gives its memory back; 0 means never."""
    try:
        return max(0, int(slicer.util.settingsValue(IDLE_SETTING, DEFAULT_IDLE_MINUTES)))
    except ValueError:  # the file can hold anything
        return DEFAULT_IDLE_MINUTES


def setIdleMinutes(minutes: int) -> None:
    """See `idleMinutes`."""
    qt.QSettings().setValue(IDLE_SETTING, int(minutes))
