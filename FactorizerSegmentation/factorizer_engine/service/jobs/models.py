"""The models that are installed."""

from __future__ import annotations

from pathlib import Path

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.models import ModelsParams, ModelsResult
from factorizer_engine.service.engine import Engine


def run(_engine: Engine, params: ModelsParams, _monitor: Monitor) -> ModelsResult:
    """Describe the installed models."""
    from factorizer_engine.bundles.registry import find_bundles

    found = find_bundles([Path(folder) for folder in params.folders])
    return ModelsResult(tuple(bundle.description for bundle in found))
