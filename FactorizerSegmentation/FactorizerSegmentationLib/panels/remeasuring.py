"""Keeps the measures of the lesions true when segments are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.engine.settings import enginePython
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.hand_edits import HandEdits
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.noted_places import hasMoved, notePlace
from FactorizerSegmentationLib.scene.segments import labelsOf
from FactorizerSegmentationLib.scene.tables import follow, lesionsOf
from FactorizerSegmentationLib.scene.verdicts import problem
from FactorizerSegmentationLib.scene.volumes import worldAffine
from FactorizerSegmentationLib.tasks.measure import MeasureRun

DELAY_MS = 700
"""How long the segments have to stay as they are before they are measured."""
_CHANGES = (
    slicer.vtkSegmentation.SourceRepresentationModified,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
)
"""A segment that has a label map to itself goes without a change of any."""


class Remeasuring:
    """Has the lesions measured in the background after every change, however it was made.

    Args:
        logic: The FactorizerSegmentationLogic.
        onMeasured: Called with the table node and the new lesions.
        onMoved: Called when the lesions of the table have moved with their scan.
        onChanged: Called when a measurement begins or ends.
    """

    def __init__(
        self,
        logic,
        onMeasured: Callable[[object, tuple[Lesion, ...]], None],
        onMoved: Callable[[], None],
        onChanged: Callable[[], None],
    ) -> None:
        self._logic = logic
        self._onMeasured = onMeasured
        self._onMoved = onMoved
        self._onChanged = onChanged
        self._edits: HandEdits | None = None
        self._tableNode: object = None
        self._segmentation: Any = None
        self._tags: list[int] = []
        self._scan: Any = None
        self._scanTag = 0
        self._world: np.ndarray | None = None
        self._asked: object = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", self._onQuiet)

    @property
    def measuring(self) -> bool:
        """Whether the measures are about to change."""
        return self._asked is not None

    def watch(self, segmentationNode, tableNode) -> None:
        """Watch this result from now on; it was measured as it is, if anything is listed."""
        self.forget()
        if tableNode is None or problem(segmentationNode):
            return
        self._tableNode = tableNode
        values = [label.value for label in labelsOf(segmentationNode)]
        self._edits = HandEdits(segmentationNode, values)
        self._segmentation = segmentationNode.GetSegmentation()
        self._tags = [self._segmentation.AddObserver(it, self._onModified) for it in _CHANGES]
        self._scan = referenceVolumeOf(segmentationNode)
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self._scanTag = self._scan.AddObserver(moved, self._onTransformed)
        missing = self._edits.labels.any() and not lesionsOf(tableNode)
        if self._follow() or missing:
            self._timer.start()

    def forget(self) -> None:
        """Watch nothing, as before the scene or the panel goes."""
        self._timer.stop()
        self._asked = self._tableNode = None
        if self._edits is not None:
            self._edits.release()
            for tag in self._tags:
                self._segmentation.RemoveObserver(tag)
            self._scan.RemoveObserver(self._scanTag)
        self._edits = self._segmentation = self._scan = None

    def _onModified(self, caller, event) -> None:
        self._timer.start()

    def _onTransformed(self, caller, event) -> None:
        world = self._worldOfScan()
        if world is not None and hasMoved(self._tableNode, world):
            self._timer.start()

    def _follow(self) -> bool:
        """Take the lesions along with their scan; returns whether they have moved."""
        self._world = self._worldOfScan()
        return self._world is not None and follow(self._tableNode, self._world)

    def _worldOfScan(self) -> np.ndarray | None:
        """4x4, voxel to world; None below a transform that is not linear."""
        try:
            return worldAffine(self._scan)
        except SceneError:
            return None

    def _onQuiet(self) -> None:
        edits = self._edits
        if edits is None or problem(edits.segmentationNode):
            return
        if self._logic.busy or self._asked is not None:
            self._timer.start()
            return
        edits.look()
        edits.remember()
        if self._follow():
            self._onMoved()
        self._logic.setPython(enginePython())
        if not self._logic.engine.installed:
            return  # nothing is installed for this
        asked = self._asked = object()
        callbacks: Callbacks[tuple[Lesion, ...]] = Callbacks(
            lambda lesions: self._onResult(asked, lesions),
            lambda error: self._onFailed(asked, error),
        )
        try:
            MeasureRun(self._logic.engine, edits, self._tableNode, callbacks).start()
        except SceneError as error:
            self._onFailed(asked, error)
        self._onChanged()

    def _onResult(self, asked: object, lesions: tuple[Lesion, ...]) -> None:
        if asked is self._asked:
            self._asked = None
            self._onMeasured(self._tableNode, lesions)
            if self._world is not None:
                notePlace(self._tableNode, self._world)  # it may have moved on meanwhile
            self._onChanged()

    def _onFailed(self, asked: object, error: EngineError) -> None:
        if asked is self._asked:
            self._asked = None
            self._logic.logged.emit(str(error))
            self._onChanged()
