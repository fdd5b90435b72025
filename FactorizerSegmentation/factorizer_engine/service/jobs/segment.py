"""The lesions in the scans of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.protocol.errors import BadInputError, EngineMemoryError
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.painting import compact
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.subsets import needs_clicks
from factorizer_engine.protocol.tasks.segment import SegmentParams, SegmentResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.engine import Engine

if TYPE_CHECKING:
    from factorizer_engine.inference.result import SegmentationResult
    from factorizer_engine.inference.segmenter import Segmenter

LOADED, JUDGED, SEGMENTED = 0.05, 0.7, 0.97
"""How far a run has come when the model is loaded, when lesions are to be compared with others, and
when only writing is left."""


def run(engine: Engine, params: SegmentParams, monitor: Monitor) -> SegmentResult:
    """Segment the scans; the volumes of the result are written to the output folder."""
    folder = prepare_output_folder(params.output_dir)
    segmenter = engine.ready(params.choice, monitor.span(0.0, LOADED), params.study.channels)
    if refusal := needs_clicks(segmenter.bundle.description):
        raise BadInputError(refusal)
    from factorizer_engine.service.exchange import check_space, load_scans, save_scan

    scans = load_scans(params.study.channels)
    check_space(folder, scans, len(segmenter.bundle.description.regions) * params.probabilities)
    found = JUDGED if params.likeness else SEGMENTED
    result = engine.segment(segmenter, scans, params, monitor.span(LOADED, found))
    lesions, doubt = result.lesions, ""
    if params.likeness:
        lesions, doubt = _judged(segmenter, result, monitor.span(JUDGED, SEGMENTED))
    monitor.report("writing", SEGMENTED)
    return SegmentResult(
        model=result.model,
        labelmap=save_scan(result.labelmap, folder / "labelmap.npy"),
        probabilities=_save_probabilities(result, params, folder),
        lesions=lesions,
        timings=dict(result.timings),
        device=str(result.device),
        note=engine.note(result.note, doubt),
        threshold=segmenter.bundle.inference.threshold,
    )


def _judged(
    segmenter: Segmenter, result: SegmentationResult, monitor: Monitor
) -> tuple[tuple[Lesion, ...], str]:
    """The lesions with their likeness, and a sentence where that cannot be told."""
    from factorizer_engine.components.likeness import NOT_TOLD, compared, tells_false_alarms
    from factorizer_engine.inference.device import memory_errors

    if not tells_false_alarms(segmenter, result):
        return result.lesions, NOT_TOLD
    try:
        with memory_errors(segmenter.device):
            return compared(segmenter, result, monitor), ""
    except EngineMemoryError as error:  # what was found is not given up for that
        return result.lesions, f"False alarms were not looked for. {error}"


def _save_probabilities(
    result: SegmentationResult, params: SegmentParams, folder: Path
) -> tuple[ScanFile, ...]:
    if not params.probabilities:
        return ()
    affine = result.labelmap.affine
    pairs = zip(result.model.regions, result.probabilities, strict=True)
    return tuple(
        ScanFile.save(
            compact(volume) if params.compact else volume,
            affine,
            folder / f"probability_{number}.npy",
            region.title,
        )
        for number, (region, volume) in enumerate(pairs, start=1)
    )
