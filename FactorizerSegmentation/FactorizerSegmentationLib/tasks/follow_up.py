"""Compare segmentations of several studies, and put what has changed into the scene."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.tasks.follow_up import (
    FOLLOW_UP,
    FollowUpParams,
    FollowUpResult,
    SegmentedStudy,
)
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene import alignment, changes
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.probabilities import thresholdsTold
from FactorizerSegmentationLib.scene.rollback import takenBackIfItFails
from FactorizerSegmentationLib.scene.segmentation_files import saveSegmentation
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.volumes import saveScan
from FactorizerSegmentationLib.tasks.engine_run import EngineRun


@dataclass(frozen=True)
class FollowUpOrder:
    """What to compare.

    Attributes:
        segmentationNodes: One a study, the oldest first.
        laidOnto: Whether the earlier scans are to be laid onto the last one.
        page: HTML file to write, or None.
    """

    segmentationNodes: tuple[Any, ...]
    laidOnto: bool = True
    page: Path | None = None


@dataclass(frozen=True)
class FollowedUp:
    """What a comparison has left.

    Attributes:
        result: What the engine found.
        tableNode: What became of each lesion.
        chartNode: The volumes over time.
        isLaidOnto: Whether the earlier scans now lie on the last one.
    """

    result: FollowUpResult
    tableNode: Any
    chartNode: Any
    isLaidOnto: bool


class FollowUpRun(EngineRun[FollowUpResult]):
    """Compares studies; `finished` gets a `FollowedUp`.

    Args:
        order: What to compare.
    """

    task = FOLLOW_UP

    def __init__(
        self, scene, engine: EngineProcess, order: FollowUpOrder, callbacks: Callbacks[Any]
    ) -> None:
        super().__init__(scene, engine, callbacks)
        self._order = order
        self._ids = [node.GetID() for node in order.segmentationNodes]

    @property
    def summary(self) -> str:
        names = [node.GetName() for node in self._order.segmentationNodes]
        return f"{self.task.name}: {', '.join(names)}"

    def _gather(self, folder: Path) -> Generator[None, None, FollowUpParams]:
        nodes = self._order.segmentationNodes
        for node in nodes[:-1]:
            alignment.takeBack(nodesOfStudy(node))
        studies = []
        for number, node in enumerate(nodes):
            part = folder / f"study{number}"
            part.mkdir()
            yield
            segmentation = yield from saveSegmentation(node, part / "segments.npy")
            yield
            scan = saveScan(referenceVolumeOf(node), part / "scan.npy")
            told = thresholdsTold(node)
            studies.append(SegmentedStudy(node.GetName(), scan, segmentation, told))
        page = self._order.page
        return FollowUpParams(tuple(studies), str(page) if page is not None else "")

    def _createNodes(self, result: FollowUpResult) -> Generator[None, None, FollowedUp]:
        nodes = [self._scene.GetNodeByID(nodeId) for nodeId in self._ids]
        if any(node is None for node in nodes):
            raise SceneError(_("A segmentation that was compared is no longer there."))
        yield
        with takenBackIfItFails(self._scene):
            return self._addNodes(result, nodes)

    def _addNodes(self, result: FollowUpResult, nodes: list) -> FollowedUp:
        *earlier, last = nodes
        isLaidOnto = self._order.laidOnto
        for node, rows in zip(earlier, result.to_last, strict=True):
            transform = alignment.createAlignment(node, last, np.array(rows))
            if self._order.laidOnto:
                others = nodesOfStudy(last)
                isLaidOnto &= alignment.layOnto(nodesOfStudy(node), transform, others)
        name = _("{name}: what has changed").format(name=last.GetName())
        tableNode = changes.createChangesTable(self._scene, result, name)
        putBeside(tableNode, last)
        name = _("{name}: volumes over time").format(name=last.GetName())
        chartNode = changes.createVolumePlot(self._scene, result.points, _colors(last), name)
        return FollowedUp(result, tableNode, chartNode, isLaidOnto)


def nodesOfStudy(segmentationNode) -> Iterable[Any]:
    """A segmentation and its scan."""
    volumeNode = referenceVolumeOf(segmentationNode)
    return [node for node in (segmentationNode, volumeNode) if node is not None]


def _colors(segmentationNode) -> dict[str, tuple[float, float, float]]:
    segmentation = segmentationNode.GetSegmentation()
    segments = [segmentation.GetSegment(name) for name in segmentation.GetSegmentIDs()]
    return {segment.GetName(): segment.GetColor() for segment in segments}
