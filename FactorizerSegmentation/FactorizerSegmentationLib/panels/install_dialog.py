"""The dialog that says what the engine needs, where it goes and how large it is."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.engine.installation import Installation
from FactorizerSegmentationLib.engine.packages import (
    FASTER,
    REQUIREMENTS,
    TORCH,
    diskMb,
    missingPackages,
    nameOf,
)
from FactorizerSegmentationLib.panels.tables import fillTable
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor

UI_PATH = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "InstallDialog.ui"
WHEELS_SETTING = "FactorizerSegmentation/Wheels"


def ensurePackages(additional: Iterable[str] = ()) -> str:
    """Install what is missing, if the user agrees; returns one sentence on failure, else "".

    Args:
        additional: Requirements beside those that every run has.
    """
    wanted = (TORCH, *REQUIREMENTS, *additional)
    missing = missingPackages(wanted)
    if not missing:
        return ""
    if slicer.app.testingEnabled():  # nobody would answer
        return notInstalled()
    dialog = InstallDialog([*missing, *missingPackages(FASTER)])
    dialog.run()
    return dialog.outcome


def notInstalled() -> str:
    """What to say when the user does not want it."""
    return _("Nothing was installed; the engine cannot run without its Python packages.")


class InstallDialog:
    """Lists packages; Install, with progress, and Cancel.

    Args:
        requirements: What is missing.

    Attributes:
        widget: The QDialog.
        ui: The widgets in it, by name.
        outcome: One sentence on why the packages are not there, or "" when they are.
    """

    def __init__(self, requirements: Sequence[str]) -> None:
        self.widget = slicer.util.loadUI(str(UI_PATH))
        # Else the main window could cover it, which seems frozen as long as nobody answers.
        self.widget.setParent(slicer.util.mainWindow(), qt.Qt.Dialog)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.outcome = notInstalled()
        self._requirements = list(requirements)
        self._installation: Installation | None = None
        self._color = TextColor(self.ui.installStepLabel)
        rows = [(nameOf(item), item, f"{diskMb(item)} MB") for item in requirements]
        fillTable(
            self.ui.packagesTable,
            (_("Package"), _("Version"), _("On disk")),
            [(name, item.removeprefix(name), size) for name, item, size in rows],
            list(requirements),
        )
        total = sum(map(diskMb, requirements)) / 1000
        self.ui.placeLabel.text = _("Into {folder}, about {size} GB in all.").format(
            folder=sysconfig.get_path("purelib"), size=f"{total:.1f}"
        )
        self.ui.torchLabel.visible = TORCH in requirements
        self.ui.wheelsLineEdit.text = slicer.util.settingsValue(WHEELS_SETTING, "")
        self.ui.wheelsLineEdit.connect("textChanged(QString)", self._onWheels)
        self.ui.wheelsButton.connect("clicked()", self._onChooseWheels)
        self.ui.installPackagesButton.connect("clicked()", self._onInstall)
        self.ui.cancelInstallButton.connect("clicked()", self.widget.reject)
        self.widget.connect("finished(int)", self._onClosed)
        self._show()

    def run(self) -> None:
        """Show it until it has been answered; then it is gone."""
        self.widget.exec_()
        self.widget.deleteLater()

    @property
    def wheels(self) -> str:
        """The folder of wheels, or ""."""
        return self.ui.wheelsLineEdit.text.strip()

    def _problem(self) -> str:
        if not self.wheels:
            return ""
        folder = Path(self.wheels)
        if folder.is_dir() and any(folder.glob("*.whl")):
            return ""
        return _("This folder holds no wheels (.whl); choose another one or leave it empty.")

    def _show(self) -> None:
        running, problem = self._installation is not None, self._problem()
        self.ui.installPackagesButton.enabled = not running and not problem
        self.ui.installProgressBar.visible = running
        for widget in (self.ui.wheelsLineEdit, self.ui.wheelsButton):
            widget.enabled = not running
        if not running:
            self._say(problem, isError=bool(problem))

    def _say(self, sentence: str, isError: bool = False) -> None:
        self._color.setKind(WARNING if isError else "")
        self.ui.installStepLabel.text = sentence
        if self.ui.installStepLabel.visible != bool(sentence):
            self.ui.installStepLabel.visible = bool(sentence)
            self.widget.adjustSize()  # a dialog does not grow by itself

    def _onWheels(self, text: str) -> None:
        qt.QSettings().setValue(WHEELS_SETTING, text.strip())
        self._show()

    def _onChooseWheels(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of wheels"), "")
        if folder:
            self.ui.wheelsLineEdit.text = folder

    def _onInstall(self) -> None:
        self._installation = Installation(
            self._requirements, self.wheels, self._onProgress, self._onEnded
        )
        self._show()
        self._say(_("Looking for the packages ..."))
        self._installation.start()

    def _onProgress(self, line: str, part: float) -> None:
        self.ui.installProgressBar.setRange(0, 100)
        self.ui.installProgressBar.value = round(100 * part)
        self._say(line)

    def _onEnded(self, problem: str) -> None:
        self.outcome, self._installation = problem, None
        self._show()
        if problem:
            self._say(problem, isError=True)
        else:
            self.widget.accept()

    def _onClosed(self, code: int) -> None:
        if self._installation is not None:
            self._installation.cancel()
