"""The panel in which lesions are looked at, measured, accepted and rejected."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.lesion_list import LesionList
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.remeasuring import Remeasuring
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene import tables
from FactorizerSegmentationLib.scene.class_watch import ClassWatch
from FactorizerSegmentationLib.scene.history import Step
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.rulers import LesionRulers
from FactorizerSegmentationLib.scene.segments import labelsOf, segmentIdOf
from FactorizerSegmentationLib.scene.surfaces import Surfaces, isShown, rememberWanted, setShown
from FactorizerSegmentationLib.scene.verdicts import decide, problem
from FactorizerSegmentationLib.tasks.refine import listOf


class ReviewPanel(Panel):
    """The lesions with their parts; what the user says about them; undo and redo.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
    """

    pack = "segment"

    def __init__(self, logic, uiPath: str) -> None:
        super().__init__(logic, uiPath)
        self._shown: tuple = ()
        self._rulers = LesionRulers()
        self._surfaces = Surfaces()
        self._classes = ClassWatch(self._onClasses)
        self._remeasuring = Remeasuring(
            logic, self._onMeasured, self._onLesionsMoved, self._showTitle
        )
        self.lesions = LesionList(self.ui.lesionsTree, self._onSelected, self._decide)
        self.ui.acceptButton.connect("clicked()", lambda: self._decideSelected(tables.ACCEPTED))
        self.ui.rejectButton.connect("clicked()", lambda: self._decideSelected(tables.REJECTED))
        self.ui.undoButton.connect("clicked()", self._onUndo)
        self.ui.redoButton.connect("clicked()", self._onRedo)
        self.ui.show3DCheckBox.connect("toggled(bool)", self._onShow3D)

    def forget(self) -> None:
        self._shown = ()
        self._classes.stop()
        self._remeasuring.forget()
        self._surfaces.forget()
        self._rulers.forget()
        self._logic.history.clear()

    def show(self) -> None:
        self._listAnew()
        self._showResult(isNew=False)
        self.update()
        lesion = self.lesions.current
        if lesion is not None and self._own.lesionTable is not None and self._logic.inFront:
            self._rulers.show(slicer.mrmlScene, lesion)

    def update(self) -> None:
        if self._parameters is None:
            return
        self._showResult(isNew=True)
        self._showButtons()

    def onNodesRemoved(self) -> None:
        """A result may have been deleted in the scene."""
        self._logic.history.forgetImpossible()
        self._listAnew()
        if self._parameters is None or self._own.lesionTable is None:
            self._shown = ()
            self._remeasuring.forget()
            self.leave()

    def leave(self) -> None:
        """Take away what is only drawn for the review."""
        self._rulers.hide(slicer.mrmlScene)

    def release(self) -> None:
        self.leave()
        self._classes.stop()
        self._remeasuring.forget()
        self._surfaces.forget()
        self.lesions.release()
        super().release()

    def _listAnew(self) -> None:
        """A list that was deleted takes no result along: its lesions are measured again."""
        own = self._own if self._parameters is not None else None
        if own is not None and own.lesionTable is None and not problem(own.segmentation):
            own.lesionTable = listOf(own.segmentation)

    def _showResult(self, isNew: bool) -> None:
        """Show the result, if it is another than before.

        Args:
            isNew: Whether it comes from a run then, and not from a scene file.
        """
        tableNode, segmentationNode = self._own.lesionTable, self._own.segmentation
        self.ui.lesionsBox.visible = tableNode is not None
        self.ui.noLesionsLabel.visible = tableNode is None
        self.ui.noLesionsLabel.text = (
            _("The lesions are listed here when the scans have been segmented.")
            if segmentationNode is None
            else problem(segmentationNode)
        )
        scan = referenceVolumeOf(segmentationNode) if segmentationNode is not None else None
        shown = (tableNode, segmentationNode, scan)
        if tableNode is None:
            return
        if shown == self._shown:
            self.lesions.renew(tables.lesionsOf(tableNode))
            self.lesions.setVerdicts(tables.verdictsOf(tableNode))
            return
        self._shown = shown
        if segmentationNode is not None:
            tables.listLesions(segmentationNode, tableNode)
        self._say("")
        self.leave()
        self._followNames()
        self._classes.watch(segmentationNode)
        self._remeasuring.watch(segmentationNode, tableNode)
        self._showTitle()
        self._logic.selectedLesion = None
        self._fillList()
        self._describe(None)
        with signalsBlocked(self.ui.show3DCheckBox):
            self.ui.show3DCheckBox.checked = isShown(segmentationNode)
        self._surfaces.watch(segmentationNode)
        self._surfaces.show(looking=isNew and self._logic.inFront)

    def _fillList(self) -> None:
        tableNode = self._own.lesionTable
        self.lesions.fill(tables.lesionsOf(tableNode), tables.verdictsOf(tableNode), self._colorOf)

    def _followNames(self) -> None:
        """In the table, too, since reports and other modules read it."""
        if self._own.segmentation is not None:
            names = {label.value: label.name for label in labelsOf(self._own.segmentation)}
            tables.renameClasses(self._own.lesionTable, names)

    def _onClasses(self) -> None:
        """A class is called or coloured otherwise."""
        if self._parameters is None or self._own.lesionTable is None:
            return
        self._followNames()
        self.lesions.renew(tables.lesionsOf(self._own.lesionTable))
        self.lesions.renameParts(self._colorOf)
        self._logic.notify()

    def _showTitle(self) -> None:
        if self._parameters is None or self._own.lesionTable is None:
            return
        boxed = tables.isBoxed(self._own.lesionTable)
        title = _("Lesions inside the box") if boxed else _("Lesions")
        if self._remeasuring.measuring:
            title = _("Lesions (being measured)")
        self.ui.lesionsBox.title = title

    def _onMeasured(self, tableNode, lesions: tuple[Lesion, ...]) -> None:
        """Segments were changed, and have been measured since."""
        tables.updateLesions(tableNode, lesions)
        tables.markBoxed(tableNode, False)
        self._followNames()  # somebody may have renamed a class meanwhile
        chosen = self.lesions.current
        with signalsBlocked(self.ui.lesionsTree):
            self._fillList()
            self.lesions.select(chosen.id if chosen is not None else None)
        self._logic.selectedLesion = self.lesions.current
        self._describe(self.lesions.current)
        if self._logic.inFront and self.lesions.current is not None:
            self._rulers.show(slicer.mrmlScene, self.lesions.current)
        else:
            self.leave()
        self._logic.notify()

    def _onLesionsMoved(self) -> None:
        """The scan was moved, as by a transform; they are measured again if that can be done."""
        self.lesions.renew(tables.lesionsOf(self._own.lesionTable))
        self._logic.selectedLesion = self.lesions.current
        if self._logic.inFront and self.lesions.current is not None:
            self._rulers.show(slicer.mrmlScene, self.lesions.current)

    def _showButtons(self) -> None:
        ui, history, busy = self.ui, self._logic.history, self._logic.busy
        history.forgetImpossible()
        segmentationNode = self._own.segmentation
        ui.show3DCheckBox.enabled = segmentationNode is not None
        reason = problem(segmentationNode) or (
            "" if self.lesions.current else _("Choose a lesion.")
        )
        self.lesions.setCheckable(not problem(segmentationNode))
        for button, tip in (
            (ui.acceptButton, _("The lesion is right (key A); goes on to the next one.")),
            (
                ui.rejectButton,
                _(
                    "The lesion is wrong (key R): it leaves the segments, and comes "
                    "back when it is ticked again."
                ),
            ),
        ):
            button.enabled = not reason
            button.toolTip = reason or tip
        for button, step, text, nothing in (
            (ui.undoButton, history.last, _("Take back: {step}"), _("Nothing to take back.")),
            (ui.redoButton, history.next, _("Do again: {step}"), _("Nothing to do again.")),
        ):
            button.enabled = step is not None and not busy
            button.toolTip = text.format(step=self._told(step)) if step is not None else nothing

    def _onSelected(self, lesion) -> None:
        if lesion is self._logic.selectedLesion:
            return
        self._logic.selectedLesion = lesion
        self._say("")
        self._describe(lesion)
        if lesion is None:
            self.leave()
        else:
            self._logic.positions.jump(slicer.mrmlScene, lesion.long_axis.middle)
            self._rulers.show(slicer.mrmlScene, lesion)
        self._logic.notify()

    def _describe(self, lesion) -> None:
        self.ui.lesionLabel.text = _sentence(lesion) if lesion is not None else ""
        self.ui.lesionLabel.visible = lesion is not None

    def _decideSelected(self, verdict: str) -> None:
        lesion = self.lesions.current
        if lesion is not None and self.ui.acceptButton.enabled:
            self._decide(lesion, verdict)
            self.lesions.selectNext()

    def _decide(self, lesion, verdict: str) -> None:
        self._say("")
        decide(
            self._own.segmentation,
            self._own.lesionTable,
            lesion,
            verdict,
            self._logic.history,
        )
        self._logic.notify()

    def _colorOf(self, label: int) -> tuple[float, float, float] | None:
        if self._own.segmentation is None:
            return None
        segment = self._own.segmentation.GetSegmentation().GetSegment(segmentIdOf(label))
        return segment.GetColor() if segment is not None else None

    def _onUndo(self) -> None:
        self._tellElsewhere(_("Taken back: {step}."), self._logic.history.undo())

    def _onRedo(self) -> None:
        self._tellElsewhere(_("Done again: {step}."), self._logic.history.redo())

    def _tellElsewhere(self, sentence: str, step: Step | None) -> None:
        """Say what was changed where the list does not show it."""
        told = self._told(step) if step is not None and self._isElsewhere(step) else ""
        self._say(sentence.format(step=told) if told else "")
        self._logic.notify()

    def _isElsewhere(self, step: Step) -> bool:
        """Whether a step is one in another result than that which is listed."""
        node = step.segmentationNode
        return node is not None and node is not self._own.segmentation

    def _told(self, step: Step) -> str:
        """What a step did, and in which result if it is another one."""
        if not self._isElsewhere(step):
            return step.title
        text = _("{step}, in the other result '{name}'")
        if not step.segmentationNode.GetDisplayVisibility():
            text = _("{step}, in the other result '{name}', which is hidden")
        return text.format(step=step.title, name=step.segmentationNode.GetName())

    def _say(self, sentence: str) -> None:
        self.ui.stepLabel.text = sentence
        self.ui.stepLabel.visible = bool(sentence)

    def _onShow3D(self, shown: bool) -> None:
        node = self._own.segmentation if self._parameters is not None else None
        if node is not None:
            setShown(node, shown)
            rememberWanted(shown)
            self._surfaces.show(looking=True)


def _sentence(lesion) -> str:
    text = _(
        "Lesion {number}: {volume} mL, {long} \u00d7 {short} mm in the slice ({product} mm\u00b2), "
        "{diameter} mm across in space"
    ).format(
        number=lesion.id,
        volume=rounded(lesion.volume_ml, 2),
        long=rounded(lesion.long_axis.length_mm, 1),
        short=rounded(lesion.short_axis.length_mm, 1),
        product=rounded(lesion.product_mm2, 0),
        diameter=rounded(lesion.max_diameter_mm, 1),
    )
    if lesion.edited_ml > 0:
        edited = _("; {volume} mL edited by hand").format(volume=rounded(lesion.edited_ml, 2))
        text += edited
    place = tables.placeText(lesion)
    return f"{text}; {place}." if place else f"{text}."
