"""Whether the scans are what the model expects."""

from __future__ import annotations

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.check import CheckParams, CheckResult
from factorizer_engine.service.engine import Engine


def run(_engine: Engine, params: CheckParams, monitor: Monitor) -> CheckResult:
    """Look at the scans; the weights of the model are not needed."""
    monitor.report("checking the scans", 0.0)
    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.images.orientation import TOP_TO_BOTTOM
    from factorizer_engine.images.plausibility.study import check_study
    from factorizer_engine.service.exchange import load_scans

    model = resolve_model(params.choice.model, params.choice.device).description
    scans = load_scans(params.study.channels)
    if params.options.upside_down:
        scans = {name: scan.brought(TOP_TO_BOTTOM) for name, scan in scans.items()}
    monitor.report("checking the scans", 0.2)
    findings = check_study(scans, model, params.study.reference, monitor.check)
    monitor.report("checking the scans", 1.0)
    return CheckResult(tuple(findings))
