"""A segmentation that is corrected by clicks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.refine import RefineParams, RefineResult
from factorizer_engine.service.engine import Engine
from factorizer_engine.service.jobs.segment import LOADED, SEGMENTED

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.result import SegmentationResult


def run(engine: Engine, params: RefineParams, monitor: Monitor) -> RefineResult:
    """Answer the clicks; the scans are segmented first if that was not done last."""
    folder = prepare_output_folder(params.output_dir)
    segmenter = engine.ready(params.choice, monitor.span(0.0, LOADED), params.study.channels)
    from factorizer_engine.service.exchange import load_scans, save_scan

    result = engine.known_result(params)
    if result is None:
        scans = load_scans(params.study.channels)
        result = engine.segment(segmenter, scans, params, monitor.span(LOADED, SEGMENTED))
    correction = engine.correction(segmenter, result, params.start)
    monitor.report("correcting", SEGMENTED)
    began = time.perf_counter()
    correction.become(params.clicks, monitor)
    seconds = time.perf_counter() - began
    lesions = _measured(correction.labelmap, result, params) if params.measure else ()
    return RefineResult(
        model=result.model,
        labelmap=save_scan(correction.labelmap, folder / "labelmap.npy"),
        lesions=lesions,
        device=result.device,
        seconds=seconds,
        note=engine.note(result.note, correction.note),
    )


def _measured(
    labelmap: Scan, result: SegmentationResult, params: RefineParams
) -> tuple[Lesion, ...]:
    from factorizer_engine.lesions.measuring import find_lesions
    from factorizer_engine.service.exchange import load_scans

    channel, file = next(iter(params.study.channels.items()))  # the head is the same in all
    scan = None if params.options.upside_down else load_scans({channel: file})[channel]
    model = result.model
    if model.by_clicks:  # there are no maps
        return tuple(find_lesions(labelmap, (), model.labels, None, scan))
    return tuple(find_lesions(labelmap, model.regions, model.labels, result.probabilities, scan))
