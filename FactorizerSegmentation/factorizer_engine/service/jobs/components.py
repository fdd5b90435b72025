"""The components that drove a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factorizer_engine.protocol.components import step_of
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.subsets import needs_clicks
from factorizer_engine.protocol.tasks.components import ComponentsParams, ComponentsResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.engine import Engine
from factorizer_engine.service.jobs.segment import LOADED, SEGMENTED

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan

Window = tuple[float, float]


def run(engine: Engine, params: ComponentsParams, monitor: Monitor) -> ComponentsResult:
    """Explain the segmentation of the scans, which is computed first if it was not the last."""
    folder = prepare_output_folder(params.output_dir)
    segmenter = engine.ready(params.choice, monitor.span(0.0, LOADED), params.study.channels)
    if refusal := needs_clicks(segmenter.bundle.description):
        raise BadInputError(refusal)
    from factorizer_engine.components import explain, lesion_near
    from factorizer_engine.components.definition import factorizers_of
    from factorizer_engine.service.exchange import check_space, load_scans

    factorizers_of(segmenter.networks)  # before anything is computed for a model without components
    half, result = LOADED, engine.known_result(params)
    if result is None:
        scans = load_scans(params.study.channels)
        check_space(folder, scans, 2 * params.count)
        half = (LOADED + SEGMENTED) / 2
        result = engine.segment(segmenter, scans, params, monitor.span(LOADED, half))
    else:
        check_space(folder, {"result": result.labelmap}, 2 * params.count)
    number = lesion_near(result.lesions, params.near) if params.near else params.lesion
    explanation = explain(
        segmenter,
        result,
        count=params.count,
        blocks=params.blocks,
        region=params.region,
        lesion=number,
        monitor=monitor.span(half, SEGMENTED),
    )
    monitor.report("writing", SEGMENTED)
    maps = explanation.maps
    windows = [found.component.window for found in maps]
    ranges = [found.component.evidence_window for found in maps]

    def saved(kind: str, scans: list[Scan], windows: list[Window]) -> tuple[ScanFile, ...]:
        return _saved(folder, kind, scans, windows if params.compact else [None] * len(scans))

    return ComponentsResult(
        model=result.model,
        components=tuple(found.component for found in maps),
        heatmaps=saved("component", [found.heatmap for found in maps], windows),
        evidence=saved("evidence", [found.evidence for found in maps], ranges),
        own_heatmaps=saved("own_component", [found.own_heatmap for found in maps], windows),
        own_evidence=saved("own_evidence", [found.own_evidence for found in maps], ranges),
        note=engine.note(explanation.note),
        reliance=explanation.reliance,
        lesions=explanation.lesions,
    )


def _saved(
    folder: Path, kind: str, scans: Sequence[Scan], windows: Sequence[Window | None]
) -> tuple[ScanFile, ...]:
    """Files with maps, compact where there is a window, side by side."""
    from factorizer_engine.factorization.threads import map_in_threads

    def save(number: int) -> ScanFile:
        scan, window = scans[number], windows[number]
        values = scan.array if window is None else _compact(scan.array, window)
        path = folder / f"{kind}_{number + 1}.npy"
        return ScanFile.save(values, scan.affine, path, scan.name)

    return tuple(map_in_threads(save, range(len(scans))))


def _compact(values: np.ndarray, window: Window) -> np.ndarray:
    """Whole numbers, int16, of steps of a display range."""
    step, steps = np.float32(step_of(window)), np.zeros(values.shape, np.int16)
    if step == 0:  # a map without any activity
        return steps
    most = np.iinfo(steps.dtype).max
    for slab, own in zip(steps, values, strict=True):  # which stays in a core's cache
        scaled = own / step
        np.rint(scaled, out=scaled)
        slab[...] = scaled.clip(-most, most, out=scaled)
    return steps
