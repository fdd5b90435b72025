"""The first start, in which kernels are compiled, and later ones, which find them on file."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.engine import params_of
from benchmarks.measure import Row, Setting
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.images.files import read_scans
from factorizer_engine.inference.kernels import PREPARING_KERNELS
from factorizer_engine.protocol.matching import match_channels
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.service.client import EngineClient

SECTION = "Starts of the engine"
COMPILING = "preparing the fast kernels, nothing on file"
LOADING = "preparing the fast kernels, from the file"


def measure_start(bundle: Bundle, folder: Path, setting: Setting) -> list[Row]:
    """How long the stage of the kernels takes in the first run of a user, and in the next one."""
    times: dict[str, list[float]] = {COMPILING: [], LOADING: []}
    scans = read_scans(match_channels(sorted(folder.iterdir()), bundle.description.channels))
    with tempfile.TemporaryDirectory() as work:
        params = params_of(bundle, scans, Path(work), setting)
        for turn in range(1, setting.rounds + 1):
            with tempfile.TemporaryDirectory() as cache:
                for name in times:
                    setting.say(f"{name}, round {turn} of {setting.rounds}")
                    times[name].append(_stage(params, cache, setting))
    return [Row(SECTION, name, seconds) for name, seconds in times.items()]


def _stage(params: SegmentParams, cache: str, setting: Setting) -> float:
    """Seconds from the announcement of the stage to that of the next one."""
    seen: dict[str, float] = {}

    def note(progress: Progress) -> None:
        seen.setdefault(progress.stage, time.perf_counter())

    environment = {"OMP_NUM_THREADS": str(setting.threads), "NUMBA_CACHE_DIR": cache}
    with EngineClient(environment=environment) as engine:
        engine.request(SEGMENT, params, note)
    if PREPARING_KERNELS not in seen:
        return 0.0
    begun = seen[PREPARING_KERNELS]
    return min(at for at in seen.values() if at > begun) - begun
