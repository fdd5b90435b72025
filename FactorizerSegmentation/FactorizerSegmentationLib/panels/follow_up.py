"""The panel that compares the last result with earlier studies."""

from __future__ import annotations

from itertools import combinations

import qt
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.follow_up import COMPLETE, PARTIAL, PROGRESSION, UNCHANGED, Response
from factorizer_engine.protocol.tasks.follow_up import FollowUpResult
from factorizer_engine.protocol.tasks.report import JINJA
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.report import askForPage, rememberFolder
from FactorizerSegmentationLib.panels.run_controls import RunControls
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import FirstColumn, currentKey, fillTable
from FactorizerSegmentationLib.parameters import earlierStudies, setEarlierStudies
from FactorizerSegmentationLib.scene import alignment, changes
from FactorizerSegmentationLib.scene.brush_region import isBrushRegion
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.scribbles import isScribbles
from FactorizerSegmentationLib.scene.side_by_side import ShownStudy, SideBySide
from FactorizerSegmentationLib.scene.studies import areOfOneStudy
from FactorizerSegmentationLib.scene.tables import placeWords
from FactorizerSegmentationLib.scene.verdicts import problem
from FactorizerSegmentationLib.tasks.follow_up import FollowedUp, FollowUpOrder, nodesOfStudy

TABLES = (".csv", "-volumes.csv")
"""How the names of the files end that are written beside a comparison."""


class FollowUpPanel(Panel):
    """The earlier studies; Compare/Cancel; what became of each lesion.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiPath: The .ui file.
        inputs: Knows which Python the engine runs in.
    """

    pack = "followUp"

    def __init__(self, logic, uiPath: str, inputs: InputsPanel) -> None:
        super().__init__(logic, uiPath)
        self._inputs = inputs
        self._listed: list[str] | None = None
        self._shown = None
        self._layoutBefore: int | None = None
        self._sideBySide = SideBySide()
        self._firstColumn = FirstColumn(
            self.ui.changesTable, self.ui.changesTable.horizontalHeader()
        )
        self.controls = RunControls(
            self.ui.compareButton,
            self.ui.compareProgressBar,
            self.ui.compareStageLabel,
            self.ui.compareStatusLabel,
            self._onCompare,
            logic.cancel,
            _("Bring the scans together, and say what became of each lesion."),
        )
        self.ui.earlierList.connect("itemChanged(QListWidgetItem*)", self._onTicked)
        self.ui.earlierUpButton.connect("clicked()", self._onUp)
        self.ui.changesTable.connect("itemSelectionChanged()", self._onSelected)
        self.ui.plotButton.connect("clicked()", self._onPlot)
        self.ui.sideBySideButton.connect("toggled(bool)", self._onSideBySide)
        self.ui.laidOntoCheckBox.connect("toggled(bool)", self._onLaidOnto)

    def boundWidgets(self) -> dict[str, object]:
        return {"laidOnto": self.ui.laidOntoCheckBox}

    def forget(self) -> None:
        self.controls.forget()
        self._listed, self._shown = None, None
        self._sideBySide.forget()
        self._showSideBySide()
        self._restoreLayout()

    def show(self) -> None:
        self.update()

    def update(self) -> None:
        if self._parameters is None:
            return
        self._listStudies()
        self.controls.setProblem(self._problem())
        for widget in (self.ui.earlierList, self.ui.earlierUpButton, self.ui.laidOntoCheckBox):
            widget.enabled = not self._logic.busy
        self._showChanges()

    def onNodesRemoved(self) -> None:
        """A study or a comparison may have been deleted in the scene."""
        if self._sideBySide.shown and (self._last is None or not self._ticked()):
            self.leave()
        self.update()

    def leave(self) -> None:
        """The layout is the user's again."""
        self._sideBySide.hide(slicer.mrmlScene)
        self._showSideBySide()
        self._restoreLayout()

    def release(self) -> None:
        self._firstColumn.release()
        super().release()

    def _restoreLayout(self) -> None:
        """Leave the layout of the plot."""
        before, self._layoutBefore = self._layoutBefore, None
        if before is not None:
            slicer.app.layoutManager().setLayout(before)

    @property
    def _last(self):
        """The segmentation of the last study, or None."""
        return self._parameters.segment.segmentation if self._parameters is not None else None

    def _problem(self) -> str:
        """Why nothing can be compared now, or the empty string."""
        if self._logic.busy:
            return _("Wait until the running computation has ended.")
        if self._last is None:
            return _("Segment the scans of the last study first.")
        if not self._ticked():
            return _("Tick an earlier segmentation; load one, or segment the earlier scans.")
        for first, second in combinations(self._ticked(), 2):
            if areOfOneStudy(first, second):
                sentence = _("'{first}' and '{second}' are of one study; tick only one of them.")
                return sentence.format(first=first.GetName(), second=second.GetName())
        return next(filter(None, map(problem, [*self._ticked(), self._last])), "")

    def _listStudies(self) -> None:
        """Offer those of other studies; those that were ticked come first, in their order."""
        ticked = [node for node in earlierStudies(self._own) if self._isOfOtherStudy(node)]
        every = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        own = [
            node
            for node in every
            if node.GetHideFromEditors() or isBrushRegion(node) or isScribbles(node)
        ]
        others = [
            node for node in every if node not in (*own, *ticked) and self._isOfOtherStudy(node)
        ]
        nodes = [*ticked, *others]
        wanted = [f"{node.GetID()} {node.GetName()} {node in ticked}" for node in nodes]
        if wanted == self._listed:
            return
        self._listed = wanted
        with signalsBlocked(self.ui.earlierList):
            self.ui.earlierList.clear()
            for node in nodes:
                item = qt.QListWidgetItem()
                item.setText(node.GetName())
                item.setData(qt.Qt.UserRole, node.GetID())
                item.setCheckState(qt.Qt.Checked if node in ticked else qt.Qt.Unchecked)
                self.ui.earlierList.addItem(item)

    def _isOfOtherStudy(self, node) -> bool:
        """Whether a segmentation is not of the study of the last one, such as an earlier run."""
        last, chosen = self._last, self._inputs.volumes()
        return last is None or not (node is last or areOfOneStudy(node, last, chosen))

    def _ticked(self) -> list:
        """The ticked segmentation nodes, from top to bottom."""
        rows = map(self.ui.earlierList.item, range(self.ui.earlierList.count))
        ticked = [row.data(qt.Qt.UserRole) for row in rows if row.checkState() == qt.Qt.Checked]
        nodes = [slicer.mrmlScene.GetNodeByID(nodeId) for nodeId in ticked]
        return [node for node in nodes if node is not None]

    def _onTicked(self, *ignored) -> None:
        if self._parameters is not None:
            setEarlierStudies(self._own, self._ticked())
            self.update()

    def _onUp(self) -> None:
        """Move the chosen study one place up, to the older ones."""
        row = self.ui.earlierList.currentRow
        if row > 0:
            with signalsBlocked(self.ui.earlierList):
                item = self.ui.earlierList.takeItem(row)
                self.ui.earlierList.insertItem(row - 1, item)
                self.ui.earlierList.setCurrentRow(row - 1)
            self._onTicked()

    def _onCompare(self) -> None:
        page = None
        if self.ui.pageCheckBox.checked:
            name = f"{self._last.GetName()} follow-up"
            page = askForPage(self.widget, _("Write the comparison"), name, TABLES)
            if page is None:
                return
            rememberFolder(page.parent)
        needed = (JINJA,) if page is not None else ()
        if not self._logic.prepareEngine(self._inputs.python, needed):
            return
        nodes = (*self._ticked(), self._last)
        callbacks = Callbacks(self._onFinished, self._onFailed, self.controls.progressed)
        self.controls.started()
        try:
            self._logic.followUp(FollowUpOrder(nodes, self._own.laidOnto, page), callbacks)
        except SceneError as error:
            self._onFailed(error)

    def _onFinished(self, outcome: FollowedUp) -> None:
        sentences = list(outcome.result.doubts)
        if self._parameters is not None:
            if self._own.laidOnto and not outcome.isLaidOnto:
                sentences.append(
                    _("The studies share a transform, so the earlier scan stays where it is.")
                )
            self._own.changes = outcome.tableNode
            self._own.chart = outcome.chartNode
        self.controls.ended(" ".join(sentences))
        self._logic.notify()

    def _onFailed(self, error: EngineError) -> None:
        self.controls.failed(error)
        self._logic.notify()

    def _showChanges(self) -> None:
        tableNode = self._own.changes
        result = changes.changesOf(tableNode) if tableNode is not None else None
        self.ui.changesBox.visible = result is not None
        self.ui.plotButton.enabled = self._own.chart is not None
        if result is not None:
            self.ui.responseLabel.text = self._told(result)
        if result is None or tableNode is self._shown:
            return
        self._shown = tableNode
        rows = [
            (
                ", ".join(filter(None, (changes.kindText(item.kind), placeWords(item.place)))),
                rounded(item.before_ml, 2),
                rounded(item.after_ml, 2),
                rounded(item.change_ml, 2, signed=True),
                item.percent_told,
            )
            for item in result.changes
        ]
        titles = (_("Lesion"), _("before"), _("after"), _("mL"), _("%"))
        fillTable(self.ui.changesTable, titles, rows, list(range(len(rows))))

    def _told(self, result: FollowUpResult) -> str:
        """What RANO's sums say, and whether that still holds."""
        text = _responseText(result.response)
        tableNode = self._parameters.segment.lesionTable if self._parameters is not None else None
        if tableNode is not None and changes.isOutdated(result, tableNode):
            text += " " + _("The last result was changed since it was compared; compare again.")
        return text

    def _result(self) -> FollowUpResult | None:
        tableNode = self._own.changes if self._parameters is not None else None
        return changes.changesOf(tableNode) if tableNode is not None else None

    def _onSelected(self) -> None:
        key, result = currentKey(self.ui.changesTable), self._result()
        if key is not None and result is not None:
            point = result.changes[int(key)].point
            self._logic.positions.jump(slicer.mrmlScene, point)

    def _onSideBySide(self, wanted: bool) -> None:
        earlier = self._ticked()[-1:] if self._parameters is not None else []
        self.leave()
        if wanted and earlier and not next(filter(None, map(problem, (*earlier, self._last))), ""):
            with self._logic.positions.moving(slicer.mrmlScene):
                self._sideBySide.show(_shownStudy(earlier[0]), _shownStudy(self._last))
            self._onSelected()
        self._showSideBySide()

    def _showSideBySide(self) -> None:
        with signalsBlocked(self.ui.sideBySideButton):
            self.ui.sideBySideButton.checked = self._sideBySide.shown

    def _onPlot(self) -> None:
        self.leave()
        layoutManager = slicer.app.layoutManager()
        if self._layoutBefore is None:
            self._layoutBefore = layoutManager.layout
        slicer.modules.plots.logic().ShowChartInLayout(self._own.chart)

    def _onLaidOnto(self, wanted: bool) -> None:
        """Without the tick, earlier scans go back to where they were; with it they return."""
        last = self._last
        for node in self._ticked() if self._parameters is not None else ():
            alignment.takeBack(nodesOfStudy(node))
            known = alignment.newestAlignment(node, last) if wanted and last is not None else None
            if known is not None:
                alignment.layOnto(nodesOfStudy(node), known, nodesOfStudy(last))


def _shownStudy(segmentationNode) -> ShownStudy:
    return ShownStudy(referenceVolumeOf(segmentationNode), segmentationNode)


def _responseText(response: Response) -> str:
    categories = {
        COMPLETE: _("complete response"),
        PARTIAL: _("partial response"),
        UNCHANGED: _("stable disease"),
        PROGRESSION: _("progressive disease"),
    }
    category = categories.get(response.category, _("no category"))
    sentence = _("RANO by the sums of products alone: {category}. {reason}")
    return sentence.format(category=category, reason=response.reason)
