"""The panel that says what to run on what: model, scans, box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.description import WITHOUT_CHECKSUMS
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.subsets import accepts_fewer, cost, reduced, subset_of
from FactorizerSegmentationLib.engine.settings import deviceThere, enginePython
from FactorizerSegmentationLib.events import Event
from FactorizerSegmentationLib.panels.box_controls import BoxControls
from FactorizerSegmentationLib.panels.channel_selectors import ChannelSelectors
from FactorizerSegmentationLib.panels.input_checks import InputChecks
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.prepare_controls import PrepareControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.parameters import (
    channelVolume,
    chosenQuality,
    isLeftOut,
    setChannelVolume,
    setLeftOut,
)
from FactorizerSegmentationLib.scene.tables import lesionsOf
from FactorizerSegmentationLib.scene.updates import holdsOther
from FactorizerSegmentationLib.tasks.run import RunSettings


@dataclass(frozen=True)
class _Subset:
    """What a model says of the scans that are chosen.

    Attributes:
        cost: What it costs that others are left out, or "".
        problem: Why these are not enough, or "".
    """

    cost: str = ""
    problem: str = ""


class InputsPanel(Panel):
    """Other panels ask for `settings` and `problem`, and listen to `changed`.

    Attributes:
        changed: Emitted when other scans are chosen.
    """

    pack = "inputs"

    def __init__(self, logic, uiPath: str) -> None:
        super().__init__(logic, uiPath)
        self.changed = Event()
        self._models: list[ModelDescription] = []
        self._shownModel: ModelDescription | None = None
        self.channels = ChannelSelectors(self.ui.channelsWidget.layout(), self._onVolumeChosen)
        self.checks = InputChecks(
            logic, self.channels, self.ui.checkLabel, self.settings, logic.notify
        )
        self.box = BoxControls(self.ui, logic.notify, self._boxPlace)
        self.preparation = PrepareControls(
            self.ui,
            logic,
            self._chosenVolumes,
            self.settings,
            self.checks,
            self.problem,
            logic.notify,
        )
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self._onModelChanged)

    @property
    def model(self) -> ModelDescription | None:
        """The chosen model."""
        index = self.ui.modelComboBox.currentIndex
        return self._models[index] if 0 <= index < len(self._models) else None

    @property
    def python(self) -> str:
        """The Python program that runs the engine; "" for Slicer's own."""
        return enginePython()

    def settings(self) -> RunSettings | None:
        """What is asked for, or None while something is missing or the scene is about to go."""
        model = self.model
        if self._parameters is None or model is None or self._choiceProblem():
            return None
        box, target = self.box.box, self.box.target
        return RunSettings(
            model=model,
            volumeIds={name: node.GetID() for name, node in self._chosenVolumes().items()},
            device=deviceThere(self._own.device),
            quality=chosenQuality(self._own),
            boxId=box.GetID() if box is not None else None,
            quick=self.box.quick,
            targetId=target.GetID() if target is not None else None,
            python=self.python,
            preparation=self.preparation.settings(),
        )

    @property
    def applied(self) -> ModelDescription | None:
        """The model as it is applied to the scans that are chosen, or as it is without enough."""
        try:
            return self.model and reduced(self.model, subset_of(self.model, self._chosenVolumes()))
        except BadInputError:
            return self.model

    @property
    def subsetSentence(self) -> str:
        """What is said of scans that are left out, or the empty string."""
        return self.ui.subsetLabel.text

    def problem(self) -> str:
        """One sentence on why nothing can be run now, or the empty string."""
        if self.model is None:
            return _("No model is installed; install one under Models, below.")
        if self._logic.busy or self.checks.awaited:
            return _("Wait until the running computation has ended.")
        return self._choiceProblem() or self.checks.problem()

    def runProblem(self) -> str:
        """Why the model cannot be run without clicks now, or the empty string."""
        problem = self.problem()
        if problem or self.model is None or not self.model.by_clicks:
            return problem
        sentence = _("{model} outlines what you click on: add a click under Correct by clicks.")
        return sentence.format(model=self.model.title)

    def confirmed(self) -> bool:
        """Whether the user wants these scans together, which is asked where it is doubtful."""
        return self.checks.confirmed()

    def startText(self) -> tuple[str, str]:
        """What a button that segments says, and its tooltip."""
        return self.box.startText()

    def volumes(self) -> list:
        """The chosen volume nodes, in the order of the channels."""
        return list(self._chosenVolumes().values())

    def boundWidgets(self) -> dict[str, object]:
        return {**self.box.widgets(), **self.preparation.widgets()}

    def forget(self) -> None:
        self.preparation.forgetRun()
        self.box.setParameters(None)

    def show(self) -> None:
        self.box.setParameters(self._parameters)
        self.preparation.show(self._own.brainMask)
        self._showModels()

    def update(self) -> None:
        self.channels.offerScansOnly(slicer.mrmlScene)
        self.channels.showTrust()
        self._showSubset()
        idle = not self._logic.busy
        for widget in (self.ui.modelComboBox, self.ui.scansBox):
            widget.enabled = idle
        self.box.setEnabled(idle)
        self.preparation.update(self.problem())
        if self._parameters is not None:
            self.checks.lookAgain()

    def fillEmptyChannels(self) -> None:
        """Choose volumes by their names for the channels that have none."""
        if self._parameters is not None and not self._logic.busy:
            names = [channel.name for channel in self.channels.channels]
            leftOut = [name for name in names if isLeftOut(self._own, name)]
            if self.channels.fillEmpty(slicer.mrmlScene, leftOut):
                self._onVolumesChanged()

    def onNodeAboutToBeRemoved(self, node) -> None:
        """Nothing may take the place of what was chosen."""
        if self._parameters is not None:
            emptied = [name for name, old in self.channels.volumes().items() if old is node]
            self.channels.forget(node)
            for name in emptied:
                setLeftOut(self._own, name, False)
            self.box.forget(node)
            self.preparation.forget(node)

    def release(self) -> None:
        super().release()
        self.checks.release()
        self.channels.release()
        self.box.release()
        self.preparation.release()

    def _showModels(self) -> None:
        combo, models = self.ui.modelComboBox, self._logic.models()
        names = [model.name for model in models]
        wanted = self._own.modelName
        with signalsBlocked(combo):
            if models != self._models:
                combo.clear()
                for model in models:
                    combo.addItem(model.title)
            combo.currentIndex = names.index(wanted) if wanted in names else (0 if names else -1)
        self._models = models
        self._showModel()

    def _showModel(self) -> None:
        model = self.model
        label = self.ui.modelDescriptionLabel
        label.text = _describe(model) if model else ""
        label.visible = bool(label.text)
        if self._shownModel != model or model is None:
            self._shownModel = model
            self.ui.modelCardBrowser.setMarkdown(model.card if model else "")
            self.ui.aboutModelButton.visible = bool(model and model.card)
            optional = model is not None and accepts_fewer(model)
            self.channels.build(model.channels if model else (), optional)
        names = [channel.name for channel in self.channels.channels]
        self.channels.setVolumes({name: channelVolume(self._own, name) for name in names})
        self.fillEmptyChannels()
        self.update()

    def _choiceProblem(self) -> str:
        reference = next(iter(self.volumes()), None)
        return (
            self.channels.problem()
            or self._subset().problem
            or self.box.problem(reference)
            or self.preparation.problem()
        )

    def _chosenVolumes(self) -> dict[str, Any]:
        """The chosen volume node of each channel that has one, in the order of the channels."""
        volumes = self.channels.volumes()
        return {name: node for name, node in volumes.items() if node is not None}

    def _subset(self) -> _Subset:
        """What the model can do with the scans that are chosen."""
        chosen = list(self._chosenVolumes())
        if self.model is None or not chosen or not accepts_fewer(self.model):
            return _Subset()
        try:
            subset = subset_of(self.model, chosen)
        except BadInputError as error:
            return _Subset(problem=str(error))
        target = self.box.target
        if target is not None and holdsOther(target, self.model, reduced(self.model, subset)):
            sentence = _(
                "'{name}' was made of other scans; choose a new segmentation as the result."
            )
            return _Subset(problem=sentence.format(name=target.GetName()))
        return _Subset(cost=cost(self.model, subset))

    def _showSubset(self) -> None:
        subset = self._subset()
        self.ui.subsetLabel.text = subset.problem or subset.cost
        self.ui.subsetLabel.visible = bool(self.ui.subsetLabel.text)

    def _boxPlace(self) -> tuple[Any, Lesion | None]:
        """Where a new box goes: the reference volume, and the selected or largest lesion."""
        reference = next(iter(self.volumes()), None)
        table = self._parameters.segment.lesionTable if self._parameters is not None else None
        lesions = lesionsOf(table) if table is not None else []
        selected = self._logic.selectedLesion
        largest = next(iter(lesions), None)
        return reference, selected if selected in lesions else largest

    def _onModelChanged(self, *ignored) -> None:
        if self._parameters is not None and self.model is not None:
            self._own.modelName = self.model.name
            self._showModel()
            self._logic.notify()

    def _onVolumeChosen(self, channel: str) -> None:
        if self._parameters is not None:
            setLeftOut(self._own, channel, self.channels.volumes()[channel] is None)
            self._onVolumesChanged()

    def _onVolumesChanged(self) -> None:
        if self._parameters is None:
            return
        for name, node in self.channels.volumes().items():
            setChannelVolume(self._own, name, node)
        self.preparation.forgetOutcome()
        self.changed.emit()
        self._logic.notify()


def _describe(model: ModelDescription) -> str:
    without = WITHOUT_CHECKSUMS if WITHOUT_CHECKSUMS in model.notes else ""
    return f"{model.summary} {without}".strip()
