"""The panel that installs and removes models."""

from __future__ import annotations

from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.catalogue import PublishedModel, published_models
from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.description import WITHOUT_CHECKSUMS
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.install_model import InstallModelParams, InstallModelResult
from factorizer_engine.protocol.tasks.remove_model import RemoveModelParams
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable

SEVEN_ZIP = "py7zr>=0.22"
"""Unpacks .7z archives; asked for when one is to be installed."""


class ModelsPanel(Panel):
    """The installed models; Install/Cancel for more.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Offers the models; knows which Python the engine runs in.
    """

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._models: list[ModelDescription] = []
        self._published = published_models()
        self.controls = RunControls(
            self.ui.installButton,
            self.ui.installProgressBar,
            self.ui.installStageLabel,
            self.ui.installStatusLabel,
            self._onInstall,
            logic.cancel,
            _("Download the model if need be, check it, and put it into your models folder."),
        )
        with signalsBlocked(self.ui.sourceComboBox):
            for model in self._published:
                self.ui.sourceComboBox.addItem(model.title)
            self.ui.sourceComboBox.currentIndex = -1
            self.ui.sourceComboBox.setEditText("")
        told = _("Published model, address or file")
        self.ui.sourceComboBox.lineEdit().placeholderText = told
        self.ui.sourceComboBox.connect("editTextChanged(QString)", self._onSourceChanged)
        self.ui.fileButton.connect("clicked()", self._onFile)
        self.ui.folderButton.connect("clicked()", self._onFolder)
        self.ui.removeButton.connect("clicked()", self._onRemove)
        self.ui.openFolderButton.connect("clicked()", self._onOpenFolder)
        self.ui.installedTable.connect("itemSelectionChanged()", self.update)
        self._onSourceChanged()

    def show(self) -> None:
        self._showModels()

    def update(self) -> None:
        busy = self._logic.busy
        problem = "" if self._source() else _("Choose a model, or give a file or an address.")
        if busy and not self.controls.running:
            problem = _("Wait until the running computation has ended.")
        self.controls.setProblem(problem)
        for widget in (
            self.ui.sourceComboBox,
            self.ui.sha256LineEdit,
            self.ui.fileButton,
            self.ui.folderButton,
        ):
            widget.enabled = not busy
        model = self._selected()
        self.ui.removeButton.enabled = bool(model is not None and self._isUsers(model) and not busy)

    def _showModels(self) -> None:
        self._models = self._logic.models()
        fillTable(
            self.ui.installedTable,
            (_("Model"), _("Version"), _("From")),
            [
                (m.title, m.version, _("you") if self._isUsers(m) else _("the extension"))
                for m in self._models
            ],
            [model.name for model in self._models],
        )
        self.update()

    def _selected(self) -> ModelDescription | None:
        name = currentKey(self.ui.installedTable)
        return next((model for model in self._models if model.name == name), None)

    def _isUsers(self, model: ModelDescription) -> bool:
        return self._logic.modelFolder in model.path.parents

    def _chosenPublished(self) -> PublishedModel | None:
        text = self.ui.sourceComboBox.currentText
        return next((model for model in self._published if model.title == text), None)

    def _source(self) -> str:
        published = self._chosenPublished()
        return published.name if published else self.ui.sourceComboBox.currentText.strip()

    def _onSourceChanged(self, *ignored) -> None:
        published = self._chosenPublished()
        label = self.ui.publishedLabel
        label.text = _describe(published) if published else ""
        label.visible = published is not None
        isAddress = "://" in self.ui.sourceComboBox.currentText
        self.ui.sha256Label.visible = self.ui.sha256LineEdit.visible = isAddress
        self.update()

    def _onFile(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self.widget,
            _("Model or checkpoint"),
            "",
            _("Models and checkpoints") + " (*.zip *.safetensors *.pt *.pth *.ckpt)",
        )
        if path:
            self.ui.sourceComboBox.setEditText(path)

    def _onFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder with a model"), "")
        if path:
            self.ui.sourceComboBox.setEditText(path)

    def _onInstall(self) -> None:
        published, source = self._chosenPublished(), self._source()
        isAddress = "://" in source
        sha256 = self.ui.sha256LineEdit.text.strip() if isAddress else ""
        try:
            params = InstallModelParams(source, sha256)
        except BadInputError as error:
            self.controls.setStatus(str(error), isError=True)
            return
        isSevenZip = published is not None and published.file.endswith(".7z")
        if self._prepareEngine((SEVEN_ZIP,) if isSevenZip else ()):
            self.controls.started()
            callbacks = Callbacks(self._onInstalled, self._onFailed, self.controls.progressed)
            self._logic.changeModels(params, callbacks)

    def _onRemove(self) -> None:
        model = self._selected()
        if model is None or not slicer.util.confirmOkCancelDisplay(
            _("Delete the model {title} from {folder}?").format(
                title=model.title, folder=model.path
            ),
            _("Delete model"),
        ):
            return
        if self._prepareEngine():
            self.controls.started()
            callbacks = Callbacks(
                partial(self._onRemoved, model), self._onFailed, self.controls.progressed
            )
            self._logic.changeModels(RemoveModelParams(model.name), callbacks)

    def _prepareEngine(self, additional: tuple[str, ...] = ()) -> bool:
        return self._logic.prepareEngine(self._inputs.python, additional, here=True)

    def _onInstalled(self, result: InstallModelResult) -> None:
        sentence = _("{title} {version} is installed.")
        if result.sha256:
            sentence = _("{title} {version} is installed. SHA-256 of the download: {sha256}")
        text = sentence.format(
            title=result.model.title, version=result.model.version, sha256=result.sha256
        )
        if WITHOUT_CHECKSUMS in result.model.notes:
            text = f"{text} {WITHOUT_CHECKSUMS}"
        self.controls.ended(text)
        self.ui.sourceComboBox.setEditText("")
        self._modelsChanged()

    def _onRemoved(self, model: ModelDescription, nothing: object) -> None:
        self.controls.ended(_("{title} was deleted.").format(title=model.title))
        self._modelsChanged()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _modelsChanged(self) -> None:
        if self._parameters is not None:
            self._showModels()
            self._inputs.show()
        self._logic.notify()

    def _onOpenFolder(self) -> None:
        folder = self._logic.modelFolder
        folder.mkdir(parents=True, exist_ok=True)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _describe(model: PublishedModel) -> str:
    return _("{summary}\nLicence: {licence}\nRead about it: {page}").format(
        summary=model.summary, licence=model.licence, page=model.page
    )
