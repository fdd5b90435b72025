"""The panel that writes the report and DICOM objects of the last result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.models import ModelDescription, Region
from factorizer_engine.protocol.names import plain_name
from factorizer_engine.protocol.tasks.export_dicom import (
    HIGHDICOM,
    REPORT_FILE,
    SEGMENTATION_FILE,
    ExportDicomResult,
)
from factorizer_engine.protocol.tasks.report import JINJA
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene.dicom_database import (
    addToDatabase,
    openDatabase,
    seriesFolderOf,
)
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.explanations import Step, lastOfResult
from FactorizerSegmentationLib.scene.heatmaps import EVIDENCE
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.probabilities import thresholdsOf, thresholdsTold
from FactorizerSegmentationLib.scene.segmentation_files import madeBy
from FactorizerSegmentationLib.scene.tables import (
    ACCEPTED,
    REJECTED,
    UNDECIDED,
    verdictsOf,
)
from FactorizerSegmentationLib.scene.verdicts import problem
from FactorizerSegmentationLib.tasks.export_dicom import ExportOrder
from FactorizerSegmentationLib.tasks.report import Reported, ReportOrder

FOLDER_SETTING = "FactorizerSegmentation/ReportFolder"


class ReportPanel(Panel):
    """The radiologist's words, the page, and the DICOM objects.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Knows the scans and what was noticed about them.
    """

    pack = "report"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._page: Path | None = None
        self.controls = RunControls(
            self.ui.reportButton,
            self.ui.reportProgressBar,
            self.ui.reportStageLabel,
            self.ui.reportStatusLabel,
            self._onReport,
            logic.cancel,
            _("Measure the segments as they are now, and write a page with key images."),
        )
        self.exportControls = RunControls(
            self.ui.exportButton,
            self.ui.exportProgressBar,
            self.ui.exportStageLabel,
            self.ui.exportStatusLabel,
            self._onExport,
            logic.cancel,
            _("Write the segments (SEG) and their measures (SR) beside the series of the scan."),
        )
        self.ui.wordsTextEdit.connect("textChanged()", self._onWords)
        self.ui.openReportButton.connect("clicked()", self._onOpen)
        self.ui.seriesFolderLineEdit.connect("textChanged(QString)", self._onSeriesFolder)
        self.ui.seriesFolderButton.connect("clicked()", self._onBrowse)

    def boundWidgets(self) -> dict[str, object]:
        return {
            "explained": self.ui.explainedCheckBox,
            "intoDatabase": self.ui.intoDatabaseCheckBox,
            "parametricMaps": self.ui.parametricMapsCheckBox,
        }

    def forget(self) -> None:
        self.controls.forget()
        self.exportControls.forget()
        self._page = None

    def show(self) -> None:
        with signalsBlocked(self.ui.wordsTextEdit):
            if self.ui.wordsTextEdit.plainText != self._own.words:
                self.ui.wordsTextEdit.plainText = self._own.words
        with signalsBlocked(self.ui.seriesFolderLineEdit):
            if self.ui.seriesFolderLineEdit.text != self._own.seriesFolder:
                self.ui.seriesFolderLineEdit.text = self._own.seriesFolder
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        reason = self._problem()
        self.controls.setProblem(reason)
        known = self._folderInDatabase()
        if not reason and not (self._own.seriesFolder or known):
            reason = _("Say in which folder the DICOM series of the scan lies.")
        self.exportControls.setProblem(reason)
        self.ui.seriesFolderLineEdit.placeholderText = known or _("DICOM folder of the scan")
        hasDatabase = openDatabase() is not None
        self.ui.intoDatabaseCheckBox.enabled = hasDatabase
        self.ui.intoDatabaseCheckBox.toolTip = (
            _(
                "Copies of the objects go into Slicer's DICOM database, and stand in the study of "
                "the scan, as if they had been imported."
            )
            if hasDatabase
            else _("No DICOM database is open in this Slicer; choose one in the module DICOM.")
        )
        self.ui.openReportButton.visible = self._page is not None
        explained = bool(self._evidence())
        self.ui.explainedCheckBox.enabled = explained
        self.ui.parametricMapsCheckBox.enabled = explained
        self.ui.parametricMapsCheckBox.toolTip = (
            _("Evidence and activity of the components of this scan, as parametric maps.")
            if explained
            else _("No components explain this result yet; press Explain first.")
        )
        self.ui.explainedCheckBox.toolTip = (
            _("Tell which components drove the result, with their heatmaps.")
            if explained
            else _("No components explain this result yet; press Explain first.")
        )

    def onNodesRemoved(self) -> None:
        """The result or its scan may have been deleted in the scene."""
        self.update()

    @property
    def _segmentation(self):
        """The last result, or None."""
        return self._parameters.segment.segmentation if self._parameters is not None else None

    @property
    def _lesionTable(self):
        """The lesions of the last result, or None."""
        return self._parameters.segment.lesionTable if self._parameters is not None else None

    def _problem(self) -> str:
        """Why nothing can be written now, or the empty string."""
        if self._segmentation is None:
            return _("Segment the scans first.")
        if self._logic.busy:
            return _("Wait until the running computation has ended.")
        return problem(self._segmentation)

    def _folderInDatabase(self) -> str:
        """Where the series of the segmented scan lies, as Slicer's database knows it, or ""."""
        node = self._segmentation
        scan = referenceVolumeOf(node) if node is not None else None
        return seriesFolderOf(scan) if scan is not None else ""

    def _explained(self) -> list[Step]:
        """The components by which the result was explained."""
        tableNode = self._parameters.segment.lesionTable if self._parameters is not None else None
        return lastOfResult(self._logic.heatmaps(), tableNode)

    def _evidence(self) -> list[Step]:
        """The maps that show what components contribute where."""
        return [step for step in self._explained() if step.heatmap.kind == EVIDENCE]

    def _onWords(self) -> None:
        if self._parameters is not None:
            self._own.words = self.ui.wordsTextEdit.plainText

    def _onSeriesFolder(self, text: str) -> None:
        if self._parameters is not None:
            self._own.seriesFolder = text.strip()
            self.update()

    def _onBrowse(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self.widget, _("Folder with the DICOM series"), self._own.seriesFolder or lastFolder()
        )
        if folder:
            self.ui.seriesFolderLineEdit.text = folder

    def _onReport(self) -> None:
        page = askForPage(self.widget, _("Write the report"), self._segmentation.GetName())
        if page is None or not self._logic.prepareEngine(self._inputs.python, (JINJA,)):
            return
        rememberFolder(page.parent)
        callbacks = Callbacks(self._onReported, self._onFailed, self.controls.progressed)
        self.controls.started()
        try:
            self._logic.writeReport(self._order(page), callbacks)
        except SceneError as error:
            self._onFailed(error)

    def _order(self, page: Path) -> ReportOrder:
        explained = self._own.explained and self.ui.explainedCheckBox.enabled
        model, tableNode = self._inputs.model, self._lesionTable
        chosen = self._inputs.channels.volumes()
        volumes = {channel: node for channel, node in chosen.items() if node is not None}
        areChosen = referenceVolumeOf(self._segmentation) in volumes.values()
        return ReportOrder(
            segmentationNode=self._segmentation,
            volumeNodes=volumes,
            page=page,
            words=self._own.words,
            warnings=self._inputs.checks.doubts() if areChosen else (),
            evidence=tuple(self._evidence()) if explained else (),
            regions=_regionsOf(self._segmentation, model),
            facts={
                _("Review"): _verdictFacts(tableNode),
                _("How it was made"): {
                    _("Model"): _modelText(self._segmentation, model),
                    _("Thresholds"): thresholdsTold(self._segmentation),
                    _("Application"): f"Slicer {slicer.app.applicationVersion}",
                },
            },
        )

    def _onReported(self, outcome: Reported) -> None:
        self._page = outcome.page
        sentence = _("The report is {page}, with all lesions in {table}.")
        self.controls.ended(sentence.format(page=outcome.page.name, table=outcome.table.name))
        self._logic.notify()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _onOpen(self) -> None:
        if self._page is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._page)))

    def _onExport(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self.widget, _("Folder for the DICOM objects"), lastFolder()
        )
        files = [Path(folder) / name for name in (SEGMENTATION_FILE, REPORT_FILE)]
        if not folder or not mayReplace(files, _("Export as DICOM")):
            return
        if not self._logic.prepareEngine(self._inputs.python, (HIGHDICOM,), here=True):
            return
        rememberFolder(Path(folder))
        series = Path(self._own.seriesFolder or self._folderInDatabase())
        wanted = self._own.parametricMaps and self.ui.parametricMapsCheckBox.enabled
        leading = tuple(self._explained()) if wanted else ()
        order = ExportOrder(self._segmentation, series, Path(folder), leading)
        callbacks = Callbacks(
            self._onExported, self._onExportFailed, self.exportControls.progressed
        )
        self.exportControls.started()
        try:
            self._logic.exportDicom(order, callbacks)
        except SceneError as error:
            self._onExportFailed(error)

    def _onExported(self, result: ExportDicomResult) -> None:
        paths = [Path(path) for path in (result.segmentation, result.report, *result.maps)]
        sentence = _("{names} are in {folder}.")
        if self._own.intoDatabase and self.ui.intoDatabaseCheckBox.enabled:
            sentence = (
                _("{names} are in {folder} and in the DICOM database.")
                if addToDatabase(paths)
                else _("{names} are in {folder}; the DICOM database has not taken them.")
            )
        names = ", ".join(path.name for path in paths[:2])
        if result.maps:
            names = _("{names} and {count} parametric maps").format(
                names=names, count=len(result.maps)
            )
        folder = paths[0].parent.name  # a whole path would widen the panel
        self.exportControls.ended(sentence.format(names=names, folder=folder))
        self._logic.notify()

    def _onExportFailed(self, error: EngineError) -> None:
        self.exportControls.failed(error)
        self._logic.notify()


def _regionsOf(segmentationNode, chosen: ModelDescription | None) -> tuple[Region, ...]:
    """Those of the model that has made a result, as far as the result tells."""
    thresholds = thresholdsOf(segmentationNode)
    if thresholds is not None:
        return thresholds.regions
    return chosen.regions if chosen is not None else ()


def _modelText(segmentationNode, chosen: ModelDescription | None) -> str:
    """The model that has made a result, which need not be the one that is chosen by now."""
    name, version = madeBy(segmentationNode)
    known = chosen is not None and (chosen.name, chosen.version) == (name, version)
    return f"{chosen.title if known and chosen is not None else name} {version}".strip()


def _verdictFacts(tableNode) -> dict[str, str]:
    """Which lesions the user has accepted and rejected."""
    verdicts = verdictsOf(tableNode) if tableNode is not None else {}
    return {
        title: ", ".join(str(number) for number, verdict in verdicts.items() if verdict == wanted)
        for title, wanted in (
            (_("Accepted lesions"), ACCEPTED),
            (_("Rejected lesions, not in the segments"), REJECTED),
            (_("Lesions not looked at"), UNDECIDED),
        )
    }


def askForPage(parent, title: str, name: str, tables: Sequence[str] = (".csv",)) -> Path | None:
    """Where the user wants an HTML page; None if it is not to be written.

    Args:
        parent: The widget that asks.
        title: Of the dialog.
        name: What the page is called at first.
        tables: How the names of the files end that are written beside it.
    """
    proposed = Path(lastFolder()) / f"{plain_name(name)}.html"
    chosen = qt.QFileDialog.getSaveFileName(parent, title, str(proposed), _("Page (*.html)"))
    if not chosen:
        return None
    isWhole = chosen.lower().endswith(".html")
    page = Path(chosen if isWhole else f"{chosen}.html")
    if isWhole and page.exists():
        return page  # the dialog has asked
    files = (page, *(page.with_name(page.stem + ending) for ending in tables))
    return page if mayReplace(files, title) else None


def mayReplace(files: Iterable[Path], title: str) -> bool:
    """Whether files may be written; asks about those that are there already.

    Args:
        files: All that would be written, or those by which it is known.
        title: Of the dialog.
    """
    existing = ", ".join(file.name for file in files if file.is_file())
    text = _("Already there: {names}. Replace?").format(names=existing)
    return not existing or bool(slicer.util.confirmOkCancelDisplay(text, title))


def lastFolder() -> str:
    """Where the user has put files last."""
    return str(slicer.util.settingsValue(FOLDER_SETTING, str(Path.home())))


def rememberFolder(folder: Path) -> None:
    """Offer a folder first the next time."""
    qt.QSettings().setValue(FOLDER_SETTING, str(folder))
