"""Correct a segmentation by clicks: what the engine makes of the segments as they are now."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.refine import REFINE, RefineResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.brush_region import isBrushRegion
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.scribbles import isScribbles
from FactorizerSegmentationLib.scene.segmentation_files import rememberDrawn, rememberModel
from FactorizerSegmentationLib.scene.segments import createSegmentation
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.tables import createLesionTable, lesionTableOf, listLesions
from FactorizerSegmentationLib.scene.updates import belongsTo
from FactorizerSegmentationLib.scene.volumes import Place, worldAffine
from FactorizerSegmentationLib.tasks.run import Run

_BEGUN_ATTRIBUTE = "FactorizerSegmentation.ToBeCorrected"
"""Of a segmentation that no run has made: the model whose clicks make it."""


@dataclass(frozen=True)
class Refined:
    """What came of clicks.

    Attributes:
        before, after: The label map that was sent, and the corrected one, (I, J, K).
        seconds: That the clicks took in the engine.
        note: How they were answered, or "".
        upsideDown: Whether the heads were found to stand on their top.
    """

    before: np.ndarray
    after: np.ndarray
    seconds: float
    note: str
    upsideDown: bool = False


def startOfClicks(scene, scan, model: ModelDescription, labelmap: np.ndarray, title: str):
    """What clicks correct where no run has made anything.

    What begins with nothing is said to be of the model, and of the user, who clicks.

    Args:
        labelmap: The model's values, (I, J, K), on the grid of the scan.

    Returns:
        The vtkMRMLSegmentationNode and the vtkMRMLTableNode of its lesions.
    """
    place = Place.of(scan, labelmap.shape, worldAffine(scan))
    node = createSegmentation(scene, labelmap, model.labels, place, title)
    if not labelmap.any():
        rememberModel(node, model)
    nothing = np.zeros_like(labelmap)  # is what the model has drawn without the user
    deque(rememberDrawn(node, nothing, model.labels), maxlen=0)
    node.SetAttribute(_BEGUN_ATTRIBUTE, model.name)
    return node, listOf(node)


def listOf(node):
    """The table of the lesions of a segmentation; an empty one if there is none, or none any more.

    The lesions are listed as soon as they are measured, see `panels.remeasuring`.
    """
    tableNode = lesionTableOf(node)
    if tableNode is None:
        title = _("{name}, lesions").format(name=node.GetName())
        tableNode = createLesionTable(node.GetScene(), (), title)
        putBeside(tableNode, referenceVolumeOf(node))
        listLesions(node, tableNode)
    return tableNode


def isBegun(node, model: ModelDescription) -> bool:
    """Whether clicks on a model have made a segmentation, which may hold segments of others too."""
    return node.GetAttribute(_BEGUN_ATTRIBUTE) == model.name


def begunBefore(scene, scan, model: ModelDescription):
    """The last segmentation of a scan that clicks on a model have made, or None."""
    for node in reversed(_segmentationsIn(scene)):
        if isBegun(node, model) and belongsTo(node, scan):
            return node
    return None


def possibleStarts(scene, besides) -> list[tuple[str, str, str]]:
    """Title, id of the node and id of the segment of all that clicks could begin with.

    Args:
        besides: The segmentation that is corrected already.
    """
    return [
        (f"{node.GetName()}: {segment.GetName()}", node.GetID(), segmentId)
        for node in _segmentationsIn(scene)
        if node is not besides
        and not (node.GetHideFromEditors() or isBrushRegion(node) or isScribbles(node))
        for segmentId in node.GetSegmentation().GetSegmentIDs()
        for segment in (node.GetSegmentation().GetSegment(segmentId),)
    ]


def _segmentationsIn(scene) -> list:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)


class RefineRun(Run[RefineResult]):
    """Has clicks answered; `finished` gets a `Refined`, and the scene stays as it is.

    Args:
        labels: Label map of the segments as they are, (I, J, K), on the grid of the reference scan.
        clicks: All clicks, the new ones last.
    """

    task = REFINE
    showsPreparation = False

    def __init__(
        self, scene, engine, settings, callbacks, labels: np.ndarray, clicks: tuple[Click, ...]
    ) -> None:
        super().__init__(scene, engine, settings, callbacks)
        self._labels, self._clicks = labels, clicks

    def _particular(self) -> dict[str, object]:
        reference = self._reference()
        if reference is None or self._folder is None:
            raise SceneError(_("The scan of the segmentation was deleted; load it again."))
        path, affine = self._folder / "start.npy", worldAffine(reference)
        start = ScanFile.save(self._labels, affine, path, _("The segmentation"))
        return {"clicks": self._clicks, "start": start}

    def _createNodes(self, result: RefineResult) -> Generator[None, None, Refined]:
        corrected = result.labelmap.load()
        yield
        return Refined(self._labels, corrected, result.seconds, result.note, self._upsideDown)
