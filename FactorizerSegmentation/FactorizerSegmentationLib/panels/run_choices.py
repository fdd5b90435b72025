"""How to run: with what quality, on what device, in which Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slicer.i18n import tr as _

from factorizer_engine.protocol.devices import Device
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import Quality
from factorizer_engine.protocol.tasks.hello import HelloResult
from FactorizerSegmentationLib.engine import settings
from FactorizerSegmentationLib.engine.settings import AUTOMATIC
from FactorizerSegmentationLib.panels.durations import Durations
from FactorizerSegmentationLib.panels.machine_entries import MachineEntries
from FactorizerSegmentationLib.panels.run_controls import durationText
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.parameters import InputParameters, chosenQuality


class RunChoices:
    """The choices of a run that most users leave as they are.

    Args:
        ui: The widgets of the panel.
        logic: The FactorizerSegmentationLogic, whose engine they are about.
        model: Gives the chosen model, or None.
    """

    def __init__(self, ui, logic, model: Callable[[], ModelDescription | None]) -> None:
        self._ui = ui
        self._logic = logic
        self._model = model
        self._parameters: InputParameters | None = None
        self._devices: Sequence[Device] = ()
        self._durations = Durations()
        self._machines = MachineEntries(ui.deviceComboBox)
        self._fillDevices()
        for quality in Quality:
            ui.qualityComboBox.addItem("", quality.value)
        ui.pythonLineEdit.text = settings.enginePython()
        ui.idleSpinBox.value = settings.idleMinutes()
        ui.qualityComboBox.connect("currentIndexChanged(int)", self._onQuality)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onDevice)
        ui.pythonLineEdit.connect("textChanged(QString)", settings.setEnginePython)
        ui.pythonLineEdit.connect("editingFinished()", self._onPython)
        ui.idleSpinBox.connect("valueChanged(int)", self._onIdle)
        logic.helloed.connect(self._onHello)

    def setParameters(self, parameters: InputParameters | None) -> None:
        """The parameters that are shown and changed, or None."""
        self._parameters = parameters
        self.show()

    def show(self) -> None:
        """Show what is chosen, and how long it takes."""
        if self._parameters is None:
            return
        quality, device = self._ui.qualityComboBox, self._ui.deviceComboBox
        with signalsBlocked(quality, device):
            self._fillDevices()
            device.currentIndex = device.findData(self._shownDevice())
            self._logic.engine.machine = settings.machineOf(self._parameters.device)
            for index, item in enumerate(Quality):
                quality.setItemText(index, self._qualityText(item))
            quality.currentIndex = quality.findData(chosenQuality(self._parameters).value)

    def setEnabled(self, enabled: bool) -> None:
        """Let the user change the choices, or not."""
        for widget in (
            self._ui.qualityComboBox,
            self._ui.deviceComboBox,
            self._ui.pythonLineEdit,
            self._ui.idleSpinBox,
        ):
            widget.enabled = enabled

    def remember(self, quality: Quality, device: str, seconds: float) -> None:
        """Learn from a run of the whole scan that has ended on a device."""
        model = self._model()
        if self._parameters is not None and self._logic.engine.machine is not None:
            device = self._parameters.device
        if model is not None and seconds > 0:
            self._durations.add(model, device, quality, seconds)
            self.show()

    def release(self) -> None:
        """Let go of the logic, as before the widgets are deleted."""
        self._logic.helloed.disconnect(self._onHello)

    def _qualityText(self, quality: Quality) -> str:
        title = {
            Quality.fast: _("Fast"),
            Quality.balanced: _("Balanced"),
            Quality.best: _("Best"),
        }[quality]
        model = self._model()
        if model is None or self._parameters is None:
            return title
        seconds = self._durations.expected(model, self._actualDevice(), quality)
        if seconds is None:
            return title
        return _("{title}, about {time}").format(title=title, time=durationText(seconds))

    def _actualDevice(self) -> str:
        """The device on which a run would be; the first is the one that automatic takes."""
        chosen = self._shownDevice()
        if chosen != AUTOMATIC:
            return chosen
        return self._devices[0].name if self._devices else "cpu"

    def _fillDevices(self) -> None:
        combo = self._ui.deviceComboBox
        with signalsBlocked(combo):
            combo.clear()
            combo.addItem(_("Automatic"), AUTOMATIC)
            for device in self._devices or (Device("cpu", _("Processor (CPU)")),):
                combo.addItem(_deviceText(device), device.name)
            shown = self._shownDevice()
            if combo.findData(shown) < 0 and not shown.startswith(settings.MACHINE):
                combo.addItem(shown, shown)  # of a scene from another computer
            self._machines.add(shown)

    def _shownDevice(self) -> str:
        """What is chosen, or automatic if that is a machine which the user has not added."""
        device = self._parameters.device if self._parameters is not None else AUTOMATIC
        known = settings.machineOf(device) is not None
        return device if known else settings.deviceThere(device)

    def _onHello(self, hello: HelloResult) -> None:
        machine = self._logic.engine.machine
        if machine is None:
            self._devices = hello.devices
        elif hello.devices:
            self._machines.remember(machine, _deviceText(hello.devices[0]))
        self.show()

    def _onQuality(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.quality = self._ui.qualityComboBox.itemData(index)

    def _onDevice(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            chosen = self._ui.deviceComboBox.itemData(index)
            self._parameters.device = self._machines.chosen(chosen, self._shownDevice())
            self.show()

    def _onPython(self) -> None:
        if not self._logic.busy:
            self._logic.setPython(settings.enginePython())

    def _onIdle(self, minutes: int) -> None:
        settings.setIdleMinutes(minutes)
        self._logic.engine.setIdleMinutes(minutes)


def _deviceText(device: Device) -> str:
    if device.memory_free is None:
        return device.title
    text = _("{title}, {free} GB free")
    return text.format(title=device.title, free=f"{device.memory_free / 1e9:.1f}")
