"""A model made ready."""

from __future__ import annotations

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.load_model import LoadModelResult
from factorizer_engine.service.engine import Engine


def run(engine: Engine, params: ModelChoice, monitor: Monitor) -> LoadModelResult:
    """Make a model ready for the runs that follow."""
    segmenter = engine.ready(params, monitor)
    return LoadModelResult(segmenter.bundle.description, str(segmenter.device))
