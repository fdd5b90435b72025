"""The button that writes the listed components into a folder, a file at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.report import lastFolder, mayReplace, rememberFolder
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.explanations import Step
from FactorizerSegmentationLib.scene.heatmap_files import TABLE, writeHeatmaps


class HeatmapExport:
    """Asks for a folder and writes; the window has its turn after every file.

    Args:
        button: The QPushButton.
        say: Called with a sentence, and whether it tells of an error.
        steps: Gives the leading heatmaps of the components.
    """

    def __init__(
        self, button, say: Callable[[str, bool], None], steps: Callable[[], Sequence[Step]]
    ) -> None:
        self._button = button
        self._say = say
        self._steps = steps
        self._files: Iterator[Path] | None = None
        self._written: list[Path] = []
        button.connect("clicked()", self._onClicked)

    @property
    def running(self) -> bool:
        """Whether files are being written."""
        return self._files is not None

    def forget(self) -> None:
        """Write no more, as before the scene goes."""
        self._files = None
        self._button.enabled = True

    def _onClicked(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self._button, _("Folder for the heatmaps"), lastFolder()
        )
        if not folder or self.running:
            return
        if mayReplace([Path(folder) / TABLE], _("Export the heatmaps")):
            rememberFolder(Path(folder))
            self._written = []
            self._files = writeHeatmaps(slicer.mrmlScene, self._steps(), Path(folder))
            self._button.enabled = False
            self._goOn()

    def _goOn(self) -> None:
        if self._files is None:
            return
        try:
            self._written.append(next(self._files))
        except StopIteration:
            self.forget()
            text = _("{count} files are in {folder}.")
            folder = self._written[0].parent.name  # a whole path would widen the panel
            self._say(text.format(count=len(self._written), folder=folder), False)
        except SceneError as error:
            self.forget()
            self._say(str(error), True)
        else:
            self._say(_("Written: {name}").format(name=self._written[-1].name), False)
            qt.QTimer.singleShot(0, self._goOn)
