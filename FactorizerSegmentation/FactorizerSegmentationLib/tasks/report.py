"""Write a page about a segmentation as it is now, and list what was measured in it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.report import REPORT, ReportParams, ReportResult
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene import preparation, tables
from FactorizerSegmentationLib.scene.explanations import Step, componentTold
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.rollback import takenBackIfItFails
from FactorizerSegmentationLib.scene.segmentation_files import saveSegmentation
from FactorizerSegmentationLib.scene.subjects import putBeside
from FactorizerSegmentationLib.scene.volumes import saveScan
from FactorizerSegmentationLib.tasks.engine_run import EngineRun


@dataclass(frozen=True)
class ReportOrder:
    """What to report.

    Attributes:
        segmentationNode: The segments.
        volumeNodes: By channel, the scans that were segmented.
        page: The HTML file to write.
        words: The radiologist's own.
        warnings: What was noticed about the scans.
        evidence: Evidence maps of the components to tell of.
        regions: The model's, of which components speak.
        facts: By heading, what else is to be told.
    """

    segmentationNode: Any
    volumeNodes: Mapping[str, Any]
    page: Path
    words: str = ""
    warnings: tuple[str, ...] = ()
    evidence: tuple[Step, ...] = ()
    regions: tuple[Region, ...] = ()
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reported:
    """What a report has left.

    Attributes:
        page, table: The files.
        lesionTableNode: The lesions as they were measured for it.
    """

    page: Path
    table: Path
    lesionTableNode: Any


class ReportRun(EngineRun[ReportResult]):
    """Writes a report; `finished` gets a `Reported`.

    Args:
        order: What to report.
    """

    task = REPORT

    def __init__(
        self, scene, engine: EngineProcess, order: ReportOrder, callbacks: Callbacks[Any]
    ) -> None:
        super().__init__(scene, engine, callbacks)
        self._order = order
        self._name = order.segmentationNode.GetName()

    @property
    def summary(self) -> str:
        return f"{self.task.name}: {self._name}, {self._order.page.name}"

    def _gather(self, folder: Path) -> Generator[None, None, ReportParams]:
        order = self._order
        path = folder / "segments.npy"
        segmentation = yield from saveSegmentation(order.segmentationNode, path)
        scans, evidence = {}, []
        for number, (channel, node) in enumerate(self._scans().items()):
            yield
            scans[channel] = saveScan(node, folder / f"scan{number}.npy")
        for number, step in enumerate(order.evidence):
            yield
            evidence.append(step.save(folder / f"evidence{number}.npy"))
        return ReportParams(
            segmentation=segmentation,
            scans=scans,
            page=str(order.page),
            title=self._name,
            made=_made(segmentation),
            words=order.words,
            warnings=order.warnings,
            components=tuple(map(componentTold, order.evidence)),
            evidence=tuple(evidence),
            regions=order.regions,
            sheet=_sheetOf(order.segmentationNode),
            facts={heading: dict(facts) for heading, facts in order.facts.items()},
        )

    def _scans(self) -> dict[str, Any]:
        """The scans by channel, that of the segments first."""
        reference = referenceVolumeOf(self._order.segmentationNode)
        others = dict(self._order.volumeNodes)
        channel = next((name for name, node in others.items() if node is reference), None)
        if channel is None:
            return {reference.GetName(): reference}  # the chosen scans are of something else
        return {channel: others.pop(channel), **others}

    def _createNodes(self, result: ReportResult) -> Generator[None, None, Reported]:
        yield
        with takenBackIfItFails(self._scene):
            name = _("{name}: lesions reported").format(name=self._name)
            tableNode = tables.createLesionTable(self._scene, result.lesions, name)
            putBeside(tableNode, self._order.segmentationNode)
        return Reported(Path(result.page), Path(result.table), tableNode)


def _sheetOf(segmentationNode) -> str:
    """The quality sheet of the scan of the segments, or ""."""
    reference = referenceVolumeOf(segmentationNode)
    node = preparation.sheetOf(reference) if reference is not None else None
    return node.GetText() or "" if node is not None else ""


def _made(segmentation: SegmentationFile) -> str:
    model = " ".join(filter(None, (segmentation.model, segmentation.version)))
    return f"{model or _('drawn by hand or by another program')} · {datetime.now():%d %B %Y}"
