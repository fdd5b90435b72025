"""Versions, devices and memory."""

from __future__ import annotations

import platform
from importlib import metadata

from factorizer_engine import __version__
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.hello import HelloResult
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.service.engine import Engine

REPORTED_PACKAGES = ("torch", "monai", "numpy", "nibabel", "SimpleITK")


def run(_engine: Engine, _params: Nothing, monitor: Monitor) -> HelloResult:
    """Say what the engine is made of, and what it can compute on."""
    monitor.report("starting", 0.0)
    from factorizer_engine.inference.device import list_devices

    versions = {"python": platform.python_version()}
    versions.update((package, _version(package)) for package in REPORTED_PACKAGES)
    return HelloResult(__version__, versions, tuple(list_devices()))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
