"""Putting a model into the user's models folder."""

from __future__ import annotations

from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.install_model import InstallModelParams, InstallModelResult
from factorizer_engine.service.engine import Engine


def run(engine: Engine, params: InstallModelParams, monitor: Monitor) -> InstallModelResult:
    """Download the model if need be, check it and install it."""
    from factorizer_engine.bundles.published.installing import install_model

    bundle, sha256 = install_model(params.source, params.sha256, params.replace, monitor)
    return InstallModelResult(bundle.description, sha256)
