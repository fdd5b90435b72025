"""The components that drove a result."""

from __future__ import annotations

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.subsets import needs_clicks
from factorizer_engine.protocol.tasks.components import ComponentsParams, ComponentsResult
from factorizer_engine.service.engine import Engine
from factorizer_engine.service.jobs.segment import LOADED, SEGMENTED


def run(engine: Engine, params: ComponentsParams, monitor: Monitor) -> ComponentsResult:
    """Explain the segmentation of the scans, which is computed first if it was not the last."""
    folder = prepare_output_folder(params.output_dir)
    segmenter = engine.ready(params.choice, monitor.span(0.0, LOADED))
    if refusal := needs_clicks(segmenter.bundle.description):
        raise BadInputError(refusal)
    from factorizer_engine.components import explain, lesion_near
    from factorizer_engine.service.exchange import check_space, load_scans, save_scan

    scans = load_scans(params.study.channels)
    check_space(folder, scans, 2 * params.count)
    known = engine.known_result(params)
    half = LOADED if known else (LOADED + SEGMENTED) / 2
    result = known or engine.segment(segmenter, scans, params, monitor.span(LOADED, half))
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
    return ComponentsResult(
        model=result.model,
        components=tuple(found.component for found in explanation.maps),
        heatmaps=tuple(
            save_scan(found.heatmap, folder / f"component_{number}.npy")
            for number, found in enumerate(explanation.maps, start=1)
        ),
        evidence=tuple(
            save_scan(found.evidence, folder / f"evidence_{number}.npy")
            for number, found in enumerate(explanation.maps, start=1)
        ),
        note=engine.note(explanation.note),
        reliance=explanation.reliance,
        lesions=explanation.lesions,
    )
