"""Correct a segmentation by clicks: what the engine makes of the segments as they are now."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.refine import REFINE, RefineResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.segmentation_files import MODEL_ATTRIBUTE, rememberDrawn
from FactorizerSegmentationLib.scene.segments import createSegmentation
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.tables import createLesionTable
from FactorizerSegmentationLib.scene.volumes import Place, worldAffine
from FactorizerSegmentationLib.tasks.run import Run


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

    The lesions are listed as soon as they are measured, see `panels.remeasuring`. What begins with
    nothing is said to be of the model, and of the user, who clicks.

    Args:
        labelmap: The model's values, (I, J, K), on the grid of the scan.

    Returns:
        The vtkMRMLSegmentationNode and the vtkMRMLTableNode of its lesions.
    """
    place = Place.of(scan, labelmap.shape, worldAffine(scan))
    node = createSegmentation(scene, labelmap, model.labels, place, title)
    if not labelmap.any():
        node.SetAttribute(MODEL_ATTRIBUTE, f"{model.name} {model.version}")
        deque(rememberDrawn(node, labelmap, model.labels), maxlen=0)
    tableNode = createLesionTable(scene, (), _("{name}, lesions").format(name=title))
    putBeside(tableNode, scan)
    return node, tableNode


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
