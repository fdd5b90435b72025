"""What a user waits for: the engine process from its start to a result, and warm."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, Setting
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.images.files import read_scans
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.matching import match_channels
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.client import EngineClient

SECTION = "Engine process"
STARTED, FIRST, AGAIN = "cold start, until it answers", "cold start to first result", "warm re-run"
FULL_STUDY = "peak memory of the process, study of 240 x 240 x 155"
FULL_SHAPE = (240, 240, 155)
PRECISIONS = {"torch.float32": "float32", "torch.bfloat16": "bfloat16", "torch.float16": "float16"}


def measure_engine(bundle: Bundle, folder: Path, setting: Setting) -> list[Row]:
    """Cold start to first result, a warm re-run, and the memory of a whole study."""
    times: dict[str, list[float]] = {STARTED: [], FIRST: [], AGAIN: []}
    scans = read_scans(match_channels(sorted(folder.iterdir()), bundle.description.channels))
    with tempfile.TemporaryDirectory() as work:
        params = params_of(bundle, scans, Path(work), setting)
        full = params_of(bundle, {n: _enlarged(s) for n, s in scans.items()}, Path(work), setting)
        for turn in range(1, setting.rounds + 1):
            setting.say(f"engine process, round {turn} of {setting.rounds}")
            with EngineClient(environment={"OMP_NUM_THREADS": str(setting.threads)}) as engine:
                start = time.perf_counter()
                engine.request(HELLO, Nothing())
                started = time.perf_counter() - start
                engine.request(SEGMENT, params)
                first = time.perf_counter() - start
                start = time.perf_counter()
                engine.request(SEGMENT, params)
                again = time.perf_counter() - start
                if turn == setting.rounds:
                    engine.request(SEGMENT, full)
                    memory = _peak_memory(engine.pid)
            for name, seconds in zip(times, (started, first, again), strict=True):
                times[name].append(seconds)
    rows = [Row(SECTION, name, seconds) for name, seconds in times.items()]
    return [*rows, Row(SECTION, FULL_STUDY, memory=memory)]


def params_of(
    bundle: Bundle, scans: Mapping[str, Scan], folder: Path, setting: Setting
) -> SegmentParams:
    """The request for a case, whose scans are written to files that the engine reads."""
    shape = next(iter(scans.values())).shape
    folder = folder / "x".join(map(str, shape))
    folder.mkdir(exist_ok=True)
    files = {
        name: ScanFile.save(scan.array, scan.affine, folder / f"{name}.npy", name)
        for name, scan in scans.items()
    }
    choice = ModelChoice(
        str(bundle.description.path), str(setting.device), PRECISIONS[str(setting.precision)]
    )
    return SegmentParams(choice, Study(files), str(folder))


def _enlarged(scan: Scan) -> Scan:
    """The scan with zeros around it, up to the size of a whole study."""
    missing = [max(full - n, 0) for full, n in zip(FULL_SHAPE, scan.shape, strict=True)]
    before = [n // 2 for n in missing]
    widths = [(b, n - b) for b, n in zip(before, missing, strict=True)]
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(before)
    return Scan.of(np.pad(scan.array, widths), affine, scan.name)


def _peak_memory(pid: int | None) -> int | None:
    """The largest resident memory of a process so far, in bytes; None where it is not told."""
    status = Path(f"/proc/{pid}/status")
    if os.name != "posix" or not status.is_file():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024
