"""What the user has set about the engine for all scenes, in Slicer's settings."""

from __future__ import annotations

from collections.abc import Iterable

import qt
import slicer

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.machines import Machine

AUTOMATIC = "auto"
MACHINE = "ssh:"
"""What a device begins with that is another machine."""

PYTHON_SETTING = "FactorizerSegmentation/Python"
MACHINES_SETTING = "FactorizerSegmentation/Machines"
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


def machines() -> list[Machine]:
    """The other machines that the user has added, oldest first."""
    found = []
    for text in slicer.util.settingsValue(MACHINES_SETTING, "").split("\n"):
        try:
            found.append(Machine.named(text))
        except BadInputError:  # the file can hold anything
            continue
    return found


def setMachines(found: Iterable[Machine]) -> None:
    """See `machines`."""
    qt.QSettings().setValue(MACHINES_SETTING, "\n".join(map(str, found)))


def machineOf(device: str) -> Machine | None:
    """The machine that is chosen as a device.

    None where the user has not added it: a scene that somebody else has saved must not be able to
    send scans anywhere.
    """
    return next((m for m in machines() if device == f"{MACHINE}{m}"), None)


def deviceThere(device: str) -> str:
    """What the engine is told to compute on, wherever it runs."""
    return AUTOMATIC if device.startswith(MACHINE) else device
