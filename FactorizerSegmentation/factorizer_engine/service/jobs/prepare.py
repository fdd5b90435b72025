"""A raw study made ready for a model."""

from __future__ import annotations

from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.locations import preparation_cache_dir
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.prepare import PrepareParams, PrepareResult
from factorizer_engine.service.engine import Engine

PREPARED = 0.97
"""How far a preparation has come when only writing is left."""


def run(_engine: Engine, params: PrepareParams, monitor: Monitor) -> PrepareResult:
    """Register the scans, cut out the brain; the volumes are written to the output folder."""
    folder = prepare_output_folder(params.output_dir)
    monitor.report("preparing", 0.0)
    import numpy as np

    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.images.checks import channel_named, check_scan
    from factorizer_engine.preparation.cache import StepCache
    from factorizer_engine.preparation.sheet import placed, write_sheet
    from factorizer_engine.preparation.study import Decided, prepare_study
    from factorizer_engine.preparation.versions import versions
    from factorizer_engine.service.exchange import check_space, load_scan, load_scans, save_scan

    model = resolve_model(params.model, "cpu").description
    channels = model.channels
    scans = load_scans(params.study.channels)
    check_space(folder, scans, len(scans))
    named = {channel_named(name, channels): scan for name, scan in scans.items()}
    for scan in named.values():
        check_scan(scan)
    given = load_scan(params.brain, "Brain") if params.brain else None
    brain_mask = given.with_array(given.array != 0) if given else None
    reference = channel_named(params.study.reference or next(iter(named)), channels)
    study = prepare_study(
        named,
        reference,
        params.options,
        model.expects.skull == "stripped",
        monitor=monitor.span(0.0, PREPARED),
        decided=Decided(params.placed, brain_mask),
        cache=StepCache(preparation_cache_dir()),
    )
    monitor.report("writing", PREPARED)
    brain = None
    if study.brain is not None:
        mask = study.brain.with_array(study.brain.array.astype(np.uint8))
        brain = save_scan(mask, folder / "brain.npy")
    sheet = folder / "preparation.html"
    if params.sheet:
        shown = {name: placed(scan, study.steps, name) for name, scan in named.items()}
        write_sheet(
            sheet, shown, reference, study.brain, study.steps, versions(), study.upside_down
        )
    return PrepareResult(
        channels={
            channel: save_scan(scan, folder / f"prepared_{number}.npy")
            for number, (channel, scan) in enumerate(study.scans.items(), start=1)
        },
        brain=brain,
        steps=tuple(study.steps),
        sheet=str(sheet) if params.sheet else "",
        versions=versions(),
        timings=study.timings,
        upside_down=study.upside_down,
    )
