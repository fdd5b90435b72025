"""The panel in which segments are corrected by clicks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.asked_clicks import Asked, Placed
from FactorizerSegmentationLib.panels.click_target import ClickTarget
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tab_order import putInPlace
from FactorizerSegmentationLib.panels.text_colors import WARNING, TextColor
from FactorizerSegmentationLib.scene.clicks import ClickMarks, holding, whereItIs
from FactorizerSegmentationLib.scene.editor import BRUSH_TAG, EmbeddedEditor
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.live_labels import LiveLabels
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.pieces import blockOf
from FactorizerSegmentationLib.scene.place_mode import (
    cursorPlace,
    placeInto,
    placingInto,
    stopPlacing,
)
from FactorizerSegmentationLib.scene.scribbles import Scribbles, segmentIdOf
from FactorizerSegmentationLib.scene.segmentation_files import rememberAnswers, rememberUpsideDown
from FactorizerSegmentationLib.scene.updates import bringBack
from FactorizerSegmentationLib.scene.verdicts import problem
from FactorizerSegmentationLib.scene.volumes import unusableBecause, voxelMl, worldAffine
from FactorizerSegmentationLib.tasks.refine import Refined, possibleStarts

_LOOKS_MS = 50
"""How often clicks that wait look whether the run has ended."""


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
        self._takingSoon = False
        self._waiting: list[Placed] = []
        self._pressedAt: tuple[float, float, float] | None = None
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
        self._mode = slicer.app.applicationLogic().GetInteractionNode()
        event = self._mode.InteractionModeChangedEvent  # others may end it, as a right click does
        self._modeTag = self._mode.AddObserver(event, lambda *_: self._showPlacing())

    def forget(self) -> None:
        self._stopScribbling()
        self._brush.forget()
        for keeper in self._keepers():
            keeper.release()
        self._marks, self._scribbles, self._waiting = {}, None, []
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
        self._mode.RemoveObserver(self._modeTag)
        super().release()
        self._brush.release()

    def onNodeAboutToBeRemoved(self, node) -> None:
        """Without its node a click into a view would make marks of Slicer's own, never answered."""
        if any(marks.node is node for marks in self._marks.values()) and placingInto(node):
            stopPlacing()
            self._showPlacing()

    def onNodesRemoved(self) -> None:
        """What is corrected, or could be a start, may be gone."""
        for keeper in self._keepers() if self._parameters is not None else ():
            keeper.forgetRemoved()
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        for keeper in self._keepers():
            keeper.follow()
        self._showRegions()
        self._showStarts()
        reason, empty = self._target.problem(), self._target.emptyProblem()
        adds, removes, paints = (
            _("Click what is missing from the region (or press + with the mouse over it)."),
            _("Click what does not belong to the region (or press - with the mouse over it)."),
            _("Paint what belongs to the region, or does not, with a brush below."),
        )
        for button, tip in (
            (self.ui.clickAddButton, adds),
            (self.ui.clickRemoveButton, removes),
            (self.ui.scribbleButton, paints),
        ):
            missing = reason or (empty if button is self.ui.clickRemoveButton else "")
            button.enabled = not missing
            button.toolTip = missing or tip
        if reason and not self._logic.busy:
            self.leave()
        self._showPlacing()
        self._showBrush(reason)

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
        found = possibleStarts(slicer.mrmlScene, self._target.node)
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

    def _showBrush(self, reason: str) -> None:
        """Let the user paint on the scan that the segmentation lies on, if that is wanted."""
        wanted = self.ui.scribbleButton.checked and not reason and self._logic.inFront
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
        """Look at all that the events of a stroke of the brush give at once, and not in the view's
        own event: the markup is still being handled there."""
        if not self._takingSoon:
            self._takingSoon = True
            qt.QTimer.singleShot(0, self._take)

    def _take(self) -> None:
        """Note what was just clicked, of the region and on the segmentation that are chosen now."""
        self._takingSoon = False
        if self._parameters is None:
            return
        region, node = str(self.ui.clickRegionComboBox.currentData), self._target.node
        for keeper in self._keepers():
            self._waiting += [Placed(it, keeper, node) for it in keeper.takeNew(region)]
        self._ask()

    def _ask(self) -> None:
        """Have the next click answered that waits; those during a run wait for its end."""
        if self._waiting and not self._logic.busy:
            self._askAbout(self._waiting.pop(0))
        if self._waiting:
            qt.QTimer.singleShot(_LOOKS_MS, self._ask)

    def _askAbout(self, placed: Placed) -> None:
        reason, settings = self._target.problem(), self._inputs.settings()
        node = self._target.node
        if not placed.click.add:
            reason = reason or self._target.emptyProblem()
        if placed.node is not None and placed.node is not node:
            reason = reason or _("The result is another one since the click; click again.")
        prepare = self._logic.prepareEngine
        if reason or settings is None or not prepare(settings.python, settings.packages):
            self._forgetClick(placed.keeper, placed.click, placed.node)
            self._say(reason, isError=True)
            return
        told = [] if node is None else [keeper.clicks(node) for keeper in self._keepers()]
        new = [placed.click, *(other.click for other in self._waiting)]
        earlier = [click for clicks in told for click in clicks if click not in new]
        instead = self._target.nodes() if node is None else None
        node = self._target.begin(settings) if node is None else self._target.goOn(node)
        placed.keeper.keep(placed.click, node)
        live = LiveLabels(node, [label.value for label in settings.model.labels])
        asked = Asked(settings, node, live, placed, instead)
        self._say(_("Answering\u2026"))
        try:
            labels = np.asfortranarray(live.read().transpose(2, 1, 0))
            scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
            earlier = holding(earlier, labels, settings.model.regions, scan)
            callbacks = Callbacks(
                partial(self._onAnswered, asked), partial(self._onFailed, asked), lambda _: None
            )
            everywhere = replace(settings, boxId=None, targetId=None)
            self._logic.refine(everywhere, callbacks, labels, (*earlier, placed.click))
        except SceneError as error:
            self._onFailed(asked, error)

    def _onAnswered(self, asked: Asked, outcome: Refined) -> None:
        node, placed, live = asked.segmentationNode, asked.placed, asked.live
        title, scan = placed.click.title, referenceVolumeOf(node)
        before, after = (a.transpose(2, 1, 0) for a in (outcome.before, outcome.after))
        gone = problem(node if node.GetScene() is not None else None) or unusableBecause(scan)
        if not gone and before.shape != live.shape:
            gone = _("The scan was cropped since the click; click again.")
        if gone:
            self._onFailed(asked, SceneError(gone))
            return
        changed = before != after
        box = blockOf(changed)  # empty where it was right already, and only the mark comes
        old, new = before[box].copy(), after[box].copy()
        model, values = asked.settings.model, np.unique(new).tolist()
        byHand = not model.by_clicks  # what clicks alone have made is the model's own result

        clicked = partial(whereItIs, placed.click, worldAffine(scan), scan)

        def undo() -> None:
            live.write(box, new, old, byHand)
            self._forgetClick(placed.keeper, clicked(), node)

        def change() -> None:
            bringBack(node, model.labels, values)
            live.write(box, old, new, byHand)

        def redo() -> None:
            change()
            placed.keeper.add(clicked(), node)

        change()
        self._logic.history.add(Step(title[0].lower() + title[1:], undo, redo, (node,)))
        if changed.any():
            rememberAnswers(node, model)
        if outcome.upsideDown:
            rememberUpsideDown(node, True)
        self._say(self._sentence(outcome, changed.sum() * voxelMl(scan)))
        self._logic.notify()

    def _sentence(self, outcome: Refined, changedMl: float) -> str:
        """What is said of an answer that has changed so much."""
        if not changedMl:
            return _("Nothing had to change there.")
        text = _("{volume} mL changed, {seconds} s.").format(
            volume=rounded(changedMl, 2), seconds=f"{outcome.seconds:.1f}"
        )
        note = outcome.note.removeprefix(self._inputs.subsetSentence)  # it stands above
        return f"{text} {note.strip()}".strip()

    def _onFailed(self, asked: Asked, error: EngineError | SceneError) -> None:
        self._forgetClick(asked.placed.keeper, asked.placed.click, asked.segmentationNode)
        if self._isHere(asked):
            node = asked.segmentationNode
            there = node.GetScene() is not None and not problem(node)
            if asked.instead is not None and there and not asked.live.read().any():
                self._target.drop(node, asked.instead)
            self._say(str(error), isError=True)
        self._logic.notify()

    def _isHere(self, asked: Asked) -> bool:
        """Whether the scene in which it was clicked has not been closed since."""
        return asked.placed.keeper in self._keepers()

    def _forgetClick(self, keeper: ClickMarks | Scribbles, click: Click, node) -> None:
        if keeper in self._keepers():  # see `_isHere`
            keeper.remove(click, node)

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
        reason = unusableBecause(scan)
        if not reason and not (mask := maskOf(node, segmentId, scan)).any():
            reason = _("The segment is empty where the scans lie.")
        if reason:
            self._say(reason, isError=True)
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
