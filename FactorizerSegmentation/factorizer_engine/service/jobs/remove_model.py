"""Deleting a model from the user's models folder."""

from __future__ import annotations

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.remove_model import RemoveModelParams
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.service.engine import Engine


def run(engine: Engine, params: RemoveModelParams, monitor: Monitor) -> Nothing:
    """Delete it."""
    from factorizer_engine.bundles.registry import remove_bundle

    remove_bundle(params.name)
    return Nothing()
