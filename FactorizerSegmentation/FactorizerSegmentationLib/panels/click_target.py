"""What clicks correct: the segmentation of a run, one that they have begun, or a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.models import ModelDescription
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.tables import lesionTableOf
from FactorizerSegmentationLib.scene.updates import (
    belongsTo,
    holdsOnly,
    holdsOther,
    holdsSurplus,
)
from FactorizerSegmentationLib.scene.volumes import unusableBecause, voxelsOf
from FactorizerSegmentationLib.tasks.refine import begunBefore, isBegun, listOf, startOfClicks

if TYPE_CHECKING:
    from FactorizerSegmentationLib.tasks.run import RunSettings


class ClickTarget:
    """The segmentation that clicks change, and why none can be changed.

    Args:
        inputs: Says which model and scans answer.
        own: Gives the pack of the parameter node that keeps the segmentation.
    """

    def __init__(self, inputs: InputsPanel, own: Callable[[], Any]) -> None:
        self._inputs, self._own = inputs, own

    @property
    def node(self):
        """The vtkMRMLSegmentationNode; None before the first click on a new one.

        A model that works by clicks alone leaves other models' results as they are, and those on
        other scans, and goes on with what it has begun on the scan that is chosen.
        """
        node, settings = self._own().segmentation, self._inputs.settings()
        if settings is None or not settings.model.by_clicks:
            return node
        scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
        if scan is None:
            return None
        if node is not None and belongsTo(node, scan):
            if isBegun(node, settings.model) or holdsOnly(node, settings.model):
                return node
        return begunBefore(slicer.mrmlScene, scan, settings.model)

    def problem(self) -> str:
        """One sentence on why nothing can be corrected now, or the empty string."""
        node, settings, model = self.node, self._inputs.settings(), self._inputs.model
        begins = model is not None and model.by_clicks
        if node is None and not begins:
            return _("There is no segmentation yet; segment, or start from a segment below.")
        if settings is None:
            return self._inputs.problem() or _("Choose the scans above.")
        scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
        if scan is None or (node is not None and not belongsTo(node, scan)):
            return _("The segmentation does not lie on the scans that are chosen above.")
        unusable = unusableBecause(scan)
        if unusable:
            return unusable
        model, applied = settings.model, self._inputs.applied or settings.model
        if node is not None and (
            holdsOther(node, model, applied) or holdsSurplus(node, model, applied)
        ):
            return _("The segmentation was made of other scans; choose those above, or segment.")
        return ""

    def emptyProblem(self) -> str:
        """One sentence if nothing can be removed, since nothing has been begun; else ""."""
        return "" if self.node is not None else _("There is nothing to remove yet; add first.")

    def begin(self, settings: RunSettings):
        """An empty segmentation for the first click; the vtkMRMLSegmentationNode."""
        scan = slicer.mrmlScene.GetNodeByID(settings.referenceId)
        nothing = np.zeros(voxelsOf(scan).shape, dtype=np.uint8)
        title = _("{name}, {model}").format(name=scan.GetName(), model=settings.model.title)
        return self.make(scan, settings.model, nothing, title)

    def goOn(self, node):
        """Let a segmentation that clicks have begun be the one that is listed and corrected."""
        if node is not self._own().segmentation or self._own().lesionTable is None:
            self.put((node, listOf(node)))
            node.SetDisplayVisibility(True)  # a run may have hidden it behind its result
        return node

    def make(self, scan, model: ModelDescription, labelmap: np.ndarray, title: str):
        """Put a segmentation of the model's classes into the scene, as what is corrected."""
        self.put(startOfClicks(slicer.mrmlScene, scan, model, labelmap, title))
        return self._own().segmentation

    def nodes(self) -> tuple[Any, Any]:
        """What is listed and corrected: the segmentation and the table of its lesions."""
        return self._own().segmentation, self._own().lesionTable

    def put(self, nodes: tuple[Any, Any]) -> None:
        """See `nodes`."""
        self._own().segmentation, self._own().lesionTable = nodes

    def drop(self, node, instead: tuple[Any, Any]) -> None:
        """Delete what was begun for a click that could not be answered, and list what was.

        Args:
            node: What was begun.
            instead: See `nodes`.
        """
        tableNode = lesionTableOf(node)
        if node is self._own().segmentation:
            there = [old if old is not None and old.GetScene() else None for old in instead]
            self.put((there[0], there[1]))
        removeWithDisplays(node)
        if tableNode is not None:
            slicer.mrmlScene.RemoveNode(tableNode)
