"""Other machines in the list of devices: added, chosen and forgotten there."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.machines import Machine
from FactorizerSegmentationLib.engine.settings import (
    AUTOMATIC,
    MACHINE,
    machineOf,
    machines,
    setMachines,
)

ADD, FORGET = "add a machine", "forget the machine"
"""Entries of the list that are no devices."""


class MachineEntries:
    """The last entries of the list of devices.

    Args:
        combo: The list.
    """

    def __init__(self, combo) -> None:
        self._combo = combo
        self._found: dict[Machine, str] = {}

    def remember(self, machine: Machine, text: str) -> None:
        """A machine has said what it computes on."""
        self._found[machine] = text

    def add(self, chosen: str) -> None:
        """Append them to the list.

        Args:
            chosen: The device that is chosen; if it is a machine, it can be forgotten.
        """
        known = machines()
        addresses = [machine.address for machine in known]
        for machine in known:
            unique = addresses.count(machine.address) == 1
            text = machine.address if unique else str(machine)
            if machine in self._found:
                text = _("{machine}: {device}").format(machine=text, device=self._found[machine])
            self._combo.addItem(text, f"{MACHINE}{machine}")
        self._combo.addItem(_("Add a machine ..."), ADD)
        current = machineOf(chosen)
        if current is not None:
            text = _("Forget {machine}").format(machine=current.address)
            self._combo.addItem(text, FORGET)

    def chosen(self, entry: str, before: str) -> str:
        """The device that choosing an entry of the list means.

        Args:
            entry: The entry.
            before: What was chosen until now.
        """
        if entry == ADD:
            machine = _askForMachine()
            return before if machine is None else f"{MACHINE}{machine}"
        if entry == FORGET:
            setMachines(machine for machine in machines() if machine != machineOf(before))
            return AUTOMATIC
        return entry


def _askForMachine() -> Machine | None:
    """Another machine, which is remembered; None if the user does not name one."""
    text = qt.QInputDialog.getText(
        slicer.util.mainWindow(),
        _("Add a machine"),
        _(
            "Another machine that ssh reaches without a password, and where Factorizer is "
            "installed.\nThe scans are sent there to be segmented.\n\n"
            "user@host, or user@host:PATH of its command factorizer:"
        ),
        qt.QLineEdit.Normal,
        "",
    )
    if not text:
        return None
    try:
        machine = Machine.named(text)
    except BadInputError as error:
        slicer.util.errorDisplay(str(error))
        return None
    setMachines(dict.fromkeys([*machines(), machine]))
    return machine
