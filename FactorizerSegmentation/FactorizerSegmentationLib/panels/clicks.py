"""The panel in which segments are corrected by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.click_target import ClickTarget
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tab_order import putInPlace
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor
from FactorizerSegmentationLib.scene.clicks import ClickMarks, holding
from FactorizerSegmentationLib.scene.editor import BRUSH_TAG, EmbeddedEditor
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.live_labels import LiveLabels
from FactorizerSegmentationLib.scene.masses import maskOf
from FactorizerSegmentationLib.scene.pieces import blockOf
from FactorizerSegmentationLib.scene.place_mode import (
    cursorPlace,
    placeInto,
    placingInto,
    stopPlacing,
)
from FactorizerSegmentationLib.scene.scribbles import Scribbles, segmentIdOf
from FactorizerSegmentationLib.scene.segmentation_files import rememberAnswers, rememberUpsideDown
from FactorizerSegmentationLib.scene.volumes import voxelMl
from FactorizerSegmentationLib.tasks.refine import Refined, possibleStarts

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.run import RunSettings


@dataclass(frozen=True)
class _Asked:
    """What the engine was asked.

    Attributes:
        settings: Of the run.
        segmentationNode: What is corrected.
        live: Its labels.
        placed: The new clicks, each with what keeps it in the scene.
        instead: What was corrected before, and its lesions, if this began a new segmentation.
    """

    settings: RunSettings
    segmentationNode: Any
    live: LiveLabels
    placed: tuple[tuple[ClickMarks | Scribbles, Click], ...]
    instead: tuple[Any, Any] | None = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The new ones."""
        return tuple(click for _keeper, click in self.placed)

    @property
    def byHand(self) -> bool:
        """Whether the answer is an edit; what clicks alone have made is the model's own result."""
        return not self.settings.model.by_clicks


class ClicksPanel(Panel):
    """A region; clicks that add or remove, by button or key; scribbles; the answer; another start.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Says which model and scans answer.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._target = ClickTarget(inputs, lambda: self._own)
        self._marks: dict[bool, ClickMarks] = {}
        self._scribbles: Scribbles | None = None
        self._brush = EmbeddedEditor(
            self.ui.scribbleWidget.layout(), putInPlace, BRUSH_TAG, ("Paint", "Erase")
        )
        self._brushed: tuple[Any, str] | None = None
        self._askingSoon = False
        self._pressedAt: tuple[float, float, float] | None = None
        self._clickedOn: Any = None  # the segmentation that there was at the last click
        self._listed: list[tuple[str, str, str]] = []
        self._regions: list[str] = []
        self._color = TextColor(self.ui.clicksStatusLabel)
        for button in (self.ui.clickAddButton, self.ui.clickRemoveButton):
            button.connect("pressed()", self._onPressed)
        self.ui.clickAddButton.connect("clicked()", lambda: self._onButton(True))
        self.ui.clickRemoveButton.connect("clicked()", lambda: self._onButton(False))
        self.ui.scribbleButton.connect("toggled(bool)", lambda _checked: self.update())
        self.ui.clickRegionComboBox.connect("currentIndexChanged(int)", lambda _: self.update())
        self.ui.startButton.connect("clicked()", self._onStart)

    def forget(self) -> None:
        self._stopScribbling()
        self._brush.forget()
        for keeper in self._keepers():
            keeper.release()
        self._marks, self._scribbles = {}, None
        if self._parameters is not None:
            self._marks = {add: ClickMarks(self._own, add, self._onPlaced) for add in (True, False)}
            self._scribbles = Scribbles(self._own, self._onPlaced)
        self._say("")

    def show(self) -> None:
        for keeper in self._keepers():  # a scene file may have brought their nodes
            keeper.watch()
        self.update()

    def leave(self) -> None:
        """Wait for no click and no scribble any more."""
        if any(placingInto(marks.node) for marks in self._marks.values()):
            stopPlacing()
        self._stopScribbling()
        self._showPlacing()

    def release(self) -> None:
        super().release()
        self._brush.release()

    def onNodesRemoved(self) -> None:
        """What is corrected, or could be a start, may be gone."""
        for keeper in self._keepers() if self._parameters is not None else ():
            keeper.forgetRemoved()
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        self._showRegions()
        self._showStarts()
        problem, empty = self._target.problem(), self._target.emptyProblem()
        for button, tip in (
            (
                self.ui.clickAddButton,
                _("Click what is missing from the region (or press + with the mouse over it)."),
            ),
            (
                self.ui.clickRemoveButton,
                _("Click what does not belong to the region (or press - with the mouse over it)."),
            ),
            (
                self.ui.scribbleButton,
                _("Paint what belongs to the region, or does not, with a brush below."),
            ),
        ):
            missing = problem or (empty if button is self.ui.clickRemoveButton else "")
            button.enabled = not missing
            button.toolTip = missing or tip
        if problem and not self._logic.busy:
            self.leave()
        self._showPlacing()
        self._showBrush(problem)

    def _keepers(self) -> tuple[ClickMarks | Scribbles, ...]:
        """What keeps clicks and scribbles in the scene."""
        return (*self._marks.values(), *filter(None, (self._scribbles,)))

    def _showRegions(self) -> None:
        model, box = self._inputs.applied, self.ui.clickRegionComboBox
        names = [region.name for region in model.regions] if model is not None else []
        if names == self._regions:
            return
        self._regions, wanted = names, box.currentData
        with signalsBlocked(box):
            box.clear()
            for region in model.regions if model is not None else ():
                box.addItem(region.title, region.name)
            if wanted in names:
                box.currentIndex = names.index(wanted)

    def _showStarts(self) -> None:
        found = possibleStarts(slicer.mrmlScene, self._own.segmentation)
        self.ui.startWidget.visible = bool(found) and self._inputs.settings() is not None
        self.ui.startButton.enabled = not self._logic.busy
        if found != self._listed:
            self._listed = found
            with signalsBlocked(self.ui.startComboBox):
                self.ui.startComboBox.clear()
                for title, *_ids in found:
                    self.ui.startComboBox.addItem(title)

    def _showPlacing(self) -> None:
        for add, button in ((True, self.ui.clickAddButton), (False, self.ui.clickRemoveButton)):
            marks = self._marks.get(add)
            button.checked = marks is not None and placingInto(marks.node)

    def _showBrush(self, problem: str) -> None:
        """Let the user paint on the scan that the segmentation lies on, if that is wanted."""
        wanted = self.ui.scribbleButton.checked and not problem and self._logic.inFront
        self.ui.scribbleWidget.visible = wanted
        model = self._inputs.model
        if not wanted or model is None or self._scribbles is None:
            self._brush.hide()
            self._brushed = None
            return
        name = str(self.ui.clickRegionComboBox.currentData)
        region = next(r for r in model.regions if r.name == name)
        scan, corrected = self._inputs.volumes()[0], self._target.node
        node = self._scribbles.ready(slicer.mrmlScene, scan, region, corrected)
        if self._brushed != (node, name):
            self._brushed = node, name
            self._brush.paint(node, segmentIdOf(name, add=True))
        else:
            self._brush.show(node)

    def _stopScribbling(self) -> None:
        with signalsBlocked(self.ui.scribbleButton):
            self.ui.scribbleButton.checked = False
        self.ui.scribbleWidget.visible = False
        self._brush.hide()
        self._brushed = None

    def _onPressed(self) -> None:
        """By its key a button is clicked a tenth of a second later: the mouse may have gone on."""
        self._pressedAt = cursorPlace()

    def _onButton(self, add: bool) -> None:
        marks, place = self._marks[add], self._pressedAt
        node = marks.ready(slicer.mrmlScene)
        if place is not None:  # the key was pressed with the mouse over a view
            node.AddControlPointWorld(list(place))
        elif placingInto(node):
            stopPlacing()
        else:
            placeInto(node)
            self._say(_("Click into a slice view; the button again ends it."))
        self._showPlacing()

    def _onPlaced(self) -> None:
        self._clickedOn = self._target.node if self._parameters is not None else None
        self._askIn(0)  # not in the view's own event: the markup is still being handled there

    def _askIn(self, milliseconds: int) -> None:
        """Ask then, once for all the events that a stroke of the brush gives."""
        if not self._askingSoon:
            self._askingSoon = True
            qt.QTimer.singleShot(milliseconds, self._ask)

    def _ask(self) -> None:
        """Have the clicks answered that were just made; those during a run wait for its end."""
        self._askingSoon = False
        if self._parameters is None:
            return
        if self._logic.busy:
            self._askIn(50)
            return
        problem, settings = self._target.problem(), self._inputs.settings()
        region = str(self.ui.clickRegionComboBox.currentData)
        keepers, node = self._keepers(), self._target.node
        told = [] if node is None else [keeper.clicks(node) for keeper in keepers]
        earlier = [click for clicks in told for click in clicks]
        placed = tuple((keeper, click) for keeper in keepers for click in keeper.takeNew(region))
        if not placed:
            return
        if not any(click.add for _keeper, click in placed):
            problem = problem or self._target.emptyProblem()
        if self._clickedOn is not None and self._clickedOn is not node:
            problem = problem or _("The result is another one since the click; click again.")
        if (
            problem
            or settings is None
            or not self._logic.prepareEngine(settings.python, settings.packages)
        ):
            self._forgetClicks(placed)
            self._say(problem, isError=True)
            return
        instead = self._target.nodes() if node is None else None
        node = self._target.begin(settings) if node is None else self._target.goOn(node)
        for keeper, click in placed:
            keeper.keep(click, node)
        live = LiveLabels(node, [label.value for label in settings.model.labels])
        asked = _Asked(settings, node, live, placed, instead)
        self._say(_("Answering\u2026"))
        try:
            labels = np.asfortranarray(live.read().transpose(2, 1, 0))
            scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
            earlier = holding(earlier, labels, settings.model.regions, scan)
            callbacks = Callbacks(
                partial(self._onAnswered, asked), partial(self._onFailed, asked), lambda _: None
            )
            everywhere = replace(settings, boxId=None, targetId=None)
            self._logic.refine(everywhere, callbacks, labels, (*earlier, *asked.clicks))
        except SceneError as error:
            self._onFailed(asked, error)

    def _onAnswered(self, asked: _Asked, outcome: Refined) -> None:
        if not self._isHere(asked):
            self._logic.notify()
            return
        before, after = (a.transpose(2, 1, 0) for a in (outcome.before, outcome.after))
        changed, node = before != after, asked.segmentationNode
        if node is not None and node.GetScene() is not None:
            box = blockOf(changed)  # empty where it was right already, and only the mark comes
            old, new = before[box].copy(), after[box].copy()
            self._logic.history.add(self._step(asked, box, old, new))
            asked.live.write(box, old, new, asked.byHand)
            if changed.any():
                rememberAnswers(node, asked.settings.model)
            if outcome.upsideDown:
                rememberUpsideDown(node, True)
        self._say(self._sentence(asked, outcome, int(changed.sum())))
        self._logic.notify()

    def _step(self, asked: _Asked, box, old: np.ndarray, new: np.ndarray) -> Step:
        def undo() -> None:
            asked.live.write(box, new, old, asked.byHand)
            self._forgetClicks(asked.placed)

        def redo() -> None:
            asked.live.write(box, old, new, asked.byHand)
            for keeper, click in asked.placed:
                keeper.add(click, asked.segmentationNode)

        title = asked.clicks[-1].title[0].lower() + asked.clicks[-1].title[1:]
        return Step(title, undo, redo, (asked.segmentationNode,))

    def _sentence(self, asked: _Asked, outcome: Refined, changed: int) -> str:
        """What is said of an answer that has changed so many voxels."""
        scan = slicer.mrmlScene.GetNodeByID(asked.settings.referenceId)
        if not changed:
            return _("Nothing had to change there.")
        volume = changed * voxelMl(scan)
        text = _("{volume} mL changed, {seconds} s.").format(
            volume=rounded(volume, 2), seconds=f"{outcome.seconds:.1f}"
        )
        note = outcome.note.removeprefix(self._inputs.subsetSentence)  # it stands above
        return f"{text} {note.strip()}".strip()

    def _onFailed(self, asked: _Asked, error: EngineError | SceneError) -> None:
        self._forgetClicks(asked.placed)
        if self._isHere(asked):
            there = asked.segmentationNode.GetScene() is not None
            if asked.instead is not None and there and not asked.live.read().any():
                self._target.drop(asked.segmentationNode, asked.instead)
            self._say(str(error), isError=True)
        self._logic.notify()

    def _isHere(self, asked: _Asked) -> bool:
        """Whether the scene in which it was clicked has not been closed since."""
        return any(keeper in self._keepers() for keeper, _click in asked.placed)

    def _forgetClicks(self, placed: Sequence[tuple[ClickMarks | Scribbles, Click]]) -> None:
        for keeper, click in placed:
            if keeper in self._keepers():  # see `_isHere`
                keeper.remove(click)

    def _onStart(self) -> None:
        """Make a segmentation of the model's classes, with a segment of another in it."""
        index, settings = self.ui.startComboBox.currentIndex, self._inputs.settings()
        model = self._inputs.applied
        if settings is None or model is None or not 0 <= index < len(self._listed):
            return
        _title, nodeId, segmentId = self._listed[index]
        node = slicer.mrmlScene.GetNodeByID(nodeId)
        scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
        if node is None or scan is None:
            return
        name = self.ui.clickRegionComboBox.currentData
        region = next(r for r in model.regions if r.name == name)
        mask = maskOf(node, segmentId, scan)
        if not mask.any():
            self._say(_("The segment is empty where the scans lie."), isError=True)
            return
        labelmap = np.where(mask, region.label, 0).astype(np.uint8)
        title = _("{name}, to be corrected").format(name=node.GetName())
        self._target.make(scan, model, labelmap, title)
        self._say(_("A copy is corrected; {name} stays as it is.").format(name=node.GetName()))
        self._logic.notify()

    def _say(self, sentence: str, isError: bool = False) -> None:
        self._color.setKind(WARNING if isError else "")
        self.ui.clicksStatusLabel.text = sentence
        self.ui.clicksStatusLabel.visible = bool(sentence)
