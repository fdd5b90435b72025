"""Find the lesions: a new or updated segmentation node and a table of lesions."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentResult
from FactorizerSegmentationLib.scene import probabilities, segments, tables
from FactorizerSegmentationLib.scene.noted_places import notePlace
from FactorizerSegmentationLib.scene.rollback import Additions, takenBackIfItFails
from FactorizerSegmentationLib.scene.segmentation_files import (
    rememberDrawn,
    rememberModel,
    rememberUpsideDown,
)
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.updates import Patch, belongsTo, updateInside
from FactorizerSegmentationLib.scene.volumes import Place
from FactorizerSegmentationLib.tasks.run import Run


@dataclass(frozen=True)
class Segmented:
    """The nodes of a run and what it said.

    Attributes:
        segmentationNode: The segments, new or updated.
        lesionTableNode: The lesions.
        seconds: By stage of the computation.
        device: Where it ran.
        patch: What was changed in a segmentation that was there before, or None.
    """

    segmentationNode: Any
    lesionTableNode: Any
    seconds: Mapping[str, float]
    device: str
    patch: Patch | None = None


class SegmentRun(Run[SegmentResult]):
    """Segments the volumes; `finished` gets a `Segmented`."""

    task = SEGMENT

    def _particular(self) -> dict[str, object]:
        return {"probabilities": self._box is None, "compact": True}

    def _createNodes(self, result: SegmentResult) -> Generator[None, None, Segmented]:
        labelmap = result.labelmap.load()
        yield
        place = self._place(result.labelmap, labelmap.shape)
        target = self._target(place)
        if target is not None and self._box is not None:
            with takenBackIfItFails(self._scene):
                return self._update(target, self._box, result, labelmap, place)
        additions = Additions(self._scene)
        made, making = [], self._create(result, labelmap, place)
        try:
            while True:
                with additions.step():
                    node = next(making, making)
                if node is making:  # there is no more
                    break
                made.append(node)
                yield
        except BaseException:  # cancelled perhaps
            additions.takeBack()
            raise
        return Segmented(made[0], made[-1], result.timings, result.device)

    def _update(
        self, target, box: WorldBox, result: SegmentResult, labelmap, place: Place
    ) -> Segmented:
        labels, world = result.model.labels, result.labelmap.matrix
        patch = updateInside(target, labelmap, labels, place, box, world)
        rememberUpsideDown(target, self._upsideDown)
        tableNode = self._createTable(result, place)
        return Segmented(target, tableNode, result.timings, result.device, patch)

    def _create(self, result: SegmentResult, labelmap, place: Place) -> Iterator[Any]:
        """A new segmentation, its probability maps, and the table, one at a time.

        None stands for work that makes no node.
        """
        name = self._name(_("{name} segmentation"))
        node = segments.createSegmentation(self._scene, labelmap, result.model.labels, place, name)
        rememberModel(node, result.model)
        rememberUpsideDown(node, self._upsideDown)
        yield node
        yield from rememberDrawn(node, labelmap, result.model.labels)
        # The maps, if the result has them and lies where its scan is.
        if result.probabilities and place.volumeNode is not None:
            regions = result.model.regions
            for region, file in zip(regions, result.probabilities, strict=True):
                yield probabilities.createMap(node, region, file.load(), place)
            values = (result.threshold,) * len(regions)
            probabilities.setThresholds(node, probabilities.Thresholds(regions, values))
        yield self._createTable(result, place)

    def _createTable(self, result: SegmentResult, place: Place):
        title = _("{name} lesions") if self._box is None else _("{name} lesions inside the box")
        tableNode = tables.createLesionTable(self._scene, result.lesions, self._name(title))
        notePlace(tableNode, result.labelmap.matrix)
        tables.markBoxed(tableNode, self._box is not None)
        putBeside(tableNode, place.volumeNode)
        return tableNode

    def _target(self, place: Place):
        """The segmentation to update, if it is still there and still fits."""
        targetId = self._settings.targetId
        node = self._scene.GetNodeByID(targetId) if targetId and self._box else None
        fits = node is not None and place.volumeNode is not None
        return node if fits and belongsTo(node, place.volumeNode) else None
