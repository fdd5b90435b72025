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
    MapFile,
)
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.scene.explanations import Step, componentTold, liesOn, stepOf
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.segmentation_files import perhapsEdited, saveSegmentation
from FactorizerSegmentationLib.scene.volumes import saveScan
from FactorizerSegmentationLib.tasks.engine_run import EngineRun


@dataclass(frozen=True)
class ExportOrder:
    """What to export.

    Attributes:
        segmentationNode: The segments.
        seriesFolder: Where the DICOM series of their scan lies, among others perhaps.
        outputFolder: Where the objects go.
        leading: The heatmaps of components that become parametric maps, as far as they lie on the
            scan.
    """

    segmentationNode: Any
    seriesFolder: Path
    outputFolder: Path
    leading: tuple[Step, ...] = ()


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
        return f"{self.task.name}: {self._order.segmentationNode.GetName()}"

    def _gather(self, folder: Path) -> Generator[None, None, ExportDicomParams]:
        order = self._order
        path = folder / "segments.npy"
        segmentation = yield from saveSegmentation(order.segmentationNode, path)
        yield
        volumeNode = referenceVolumeOf(order.segmentationNode)
        scan = saveScan(volumeNode, folder / "scan.npy")
        steps = [step for step in order.leading if step.exists and liesOn(step, volumeNode)]
        maps: list[MapFile] = []
        for number, step in enumerate(steps, start=1):
            yield
            maps += _mapsOf(step, number, folder)
        return ExportDicomParams(
            perhapsEdited(order.segmentationNode, segmentation),
            scan,
            str(order.seriesFolder),
            str(order.outputFolder),
            maps=tuple(maps),
        )

    def _createNodes(self, result: ExportDicomResult) -> Generator[None, None, ExportDicomResult]:
        yield from ()  # nothing is made
        return result


def _mapsOf(leading: Step, number: int, folder: Path) -> list[MapFile]:
    """The files of what is known of a component: evidence and activity."""
    other = stepOf(leading, ACTIVITY)
    files = []
    for step in (leading,) if other is leading else (leading, other):
        heatmap = step.heatmap
        scan = step.save(folder / f"{heatmap.kind}{number}.npy")
        name = componentTold(step).name
        files.append(MapFile(scan, name, heatmap.kind, number, heatmap.window))
    return files
