"""Write a segmentation as it is now as DICOM objects; nothing in the scene changes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.tasks.export_dicom import (
    EXPORT_DICOM,
    ExportDicomParams,
    ExportDicomResult,
)
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.segmentation_files import saveSegmentation
from FactorizerSegmentationLib.scene.volumes import saveScan
from FactorizerSegmentationLib.tasks.engine_run import EngineRun


@dataclass(frozen=True)
class ExportOrder:
    """What to export.

    Attributes:
        segmentationNode: The segments.
        seriesFolder: Where the DICOM series of their scan lies, among others perhaps.
        outputFolder: Where the objects go.
    """

    segmentationNode: Any
    seriesFolder: Path
    outputFolder: Path


class ExportDicomRun(EngineRun[ExportDicomResult]):
    """Writes DICOM objects; `finished` gets the `ExportDicomResult`.

    Args:
        order: What to export.
    """

    task = EXPORT_DICOM

    def __init__(
        self, scene, engine: EngineProcess, order: ExportOrder, callbacks: Callbacks[Any]
    ) -> None:
        super().__init__(scene, engine, callbacks)
        self._order = order

    @property
    def summary(self) -> str:
        order = self._order
        return f"{self.task.name}: {order.segmentationNode.GetName()}, {order.outputFolder}"

    def _params(self, folder: Path) -> ExportDicomParams:
        order = self._order
        segmentation = saveSegmentation(order.segmentationNode, folder / "segments.npy")
        scan = saveScan(referenceVolumeOf(order.segmentationNode), folder / "scan.npy")
        return ExportDicomParams(
            segmentation, scan, str(order.seriesFolder), str(order.outputFolder)
        )

    def _createNodes(self, result: ExportDicomResult) -> Generator[None, None, ExportDicomResult]:
        yield from ()  # nothing is made
        return result
