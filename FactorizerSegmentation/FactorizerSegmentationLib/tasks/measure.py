"""Measure the lesions of a segmentation anew; nothing in the scene changes by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer

from factorizer_engine.protocol.conversation import Callbacks
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.tasks.measure import MEASURE, MeasureParams, MeasureResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.engine.process import EngineProcess
from FactorizerSegmentationLib.engine.temporary import removeFolder
from FactorizerSegmentationLib.scene.hand_edits import HandEdits
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.probabilities import mapsOf, thresholdsOf
from FactorizerSegmentationLib.scene.segmentation_files import isUpsideDown
from FactorizerSegmentationLib.scene.segments import labelsOf
from FactorizerSegmentationLib.scene.tables import presentIn, rejectedIn
from FactorizerSegmentationLib.scene.volumes import saveScan, worldAffine
from FactorizerSegmentationLib.tasks.engine_run import temporaryFolder

_MARGIN = 1
"""Voxels around the lesions, where some may have been erased."""


class MeasureRun:
    """Measures a segmentation as it is now; `finished` gets the lesions, from large to small.

    Only the part that holds lesions goes to the engine, but for the scan: it shows the whole head,
    by which lesions are placed.

    Args:
        engine: Does the work.
        edits: The segmentation's labels, and which of them were edited by hand.
        tableNode: The lesions as they were before.
        callbacks: Who is told.
    """

    def __init__(
        self,
        engine: EngineProcess,
        edits: HandEdits,
        tableNode,
        callbacks: Callbacks[tuple[Lesion, ...]],
    ) -> None:
        self._engine = engine
        self._edits = edits
        self._tableNode = tableNode
        self._callbacks = callbacks
        self._folder: Path | None = None

    def start(self) -> None:
        """Hand the volumes to the engine and return.

        Raises:
            SceneError: If the scan cannot be used; then no callback is called.
        """
        self._folder = temporaryFolder()
        try:
            params = self._params(self._folder)
        except BaseException:
            self._end()
            raise
        self._engine.request(MEASURE, params, Callbacks(self._onResult, self._onFailed))

    def _params(self, folder: Path) -> MeasureParams:
        node = self._edits.segmentationNode
        scan, maps, thresholds = referenceVolumeOf(node), mapsOf(node), thresholdsOf(node)
        world, mask = worldAffine(scan), self._edits.mask
        box = _boxAround((self._edits.labels != 0) | mask)
        affine = world.copy()
        affine[:3, 3] += world[:3, :3] @ [part.start for part in reversed(box)]

        def save(array: np.ndarray, name: str) -> ScanFile:
            return ScanFile.save(array[box].transpose(2, 1, 0), affine, folder / f"{name}.npy")

        levels = [slicer.util.arrayFromVolume(mapNode) for mapNode in maps]
        return MeasureParams(
            save(self._edits.labels, "labelmap"),
            labelsOf(node),
            thresholds.regions if maps and thresholds is not None else (),
            tuple(save(array, f"map{number}") for number, array in enumerate(levels)),
            save(mask, "edited") if mask.any() else None,
            None if isUpsideDown(node) else saveScan(scan, folder / "scan.npy"),
            tuple(presentIn(self._tableNode)),
            tuple(lesion.id for lesion in rejectedIn(self._tableNode)),
        )

    def _onResult(self, result: MeasureResult) -> None:
        self._end()
        self._callbacks.finished(result.lesions)

    def _onFailed(self, error: EngineError) -> None:
        self._end()
        self._callbacks.failed(error)

    def _end(self) -> None:
        if self._folder is not None:
            removeFolder(self._folder)


def _boxAround(mask: np.ndarray) -> tuple[slice, ...]:
    """The part (k, j, i) that holds all that is true, with a margin; small if nothing is."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        used = np.flatnonzero(mask.any(axis=others))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        box.append(slice(max(low - _MARGIN, 0), min(high + _MARGIN, mask.shape[axis])))
    return tuple(box)
