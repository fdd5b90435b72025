"""The lesions of a segmentation that was changed."""

from __future__ import annotations

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.painting import FULL_LEVEL
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.measure import MeasureParams, MeasureResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.engine import Engine


def run(_engine: Engine, params: MeasureParams, monitor: Monitor) -> MeasureResult:
    """Measure the lesions, and say which of them are those known from before."""
    monitor.report("measuring", 0.0)
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.lesions.remeasuring import measure_again
    from factorizer_engine.service.exchange import load_scans

    labelmap = Scan.of(params.labelmap.load(), params.labelmap.matrix, "segmentation")
    maps = [_on_its_grid(file, labelmap) for file in params.probabilities]
    scan = load_scans({"scan": params.scan})["scan"] if params.scan is not None else None
    edited = _on_its_grid(params.edited, labelmap) != 0 if params.edited is not None else None
    lesions = measure_again(
        labelmap,
        params.regions,
        params.labels,
        np.stack(maps) / np.float32(FULL_LEVEL) if maps else np.zeros((0, *labelmap.shape)),
        scan,
        edited,
        params.known,
        params.gone,
    )
    monitor.report("measuring", 1.0)
    return MeasureResult(tuple(lesions))


def _on_its_grid(file: ScanFile, labelmap) -> np.ndarray:
    voxels = file.load()
    if voxels.shape != labelmap.shape:
        raise BadInputError(
            f"The volume '{file.name or file.path}' has other voxels than the segmentation."
        )
    return voxels
