"""What a user of the module waits for, beside an earlier commit on the same machine."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interaction import AGAIN, EXPLAINING, FIRST, in_the_window, one_round
from benchmarks.measure import Row, Setting, ratio
from factorizer_engine.bundles.bundle import Bundle

REPOSITORY = Path(__file__).resolve().parents[2]
BEFORE = "899e8cd"
"""The last commit without compiled kernels."""

SECTION = "In the window, beside an earlier commit"
EARLIER = f"commit {BEFORE}"
NAMES = (FIRST, AGAIN, EXPLAINING)


def measure_earlier(bundle: Bundle, folder: Path, setting: Setting) -> list[Row]:
    """Sessions with the module as it is and as it was, in turn, each in a fresh host.

    Both use the Python packages that are installed now. Without the commit, as in a copy without
    its history, one row says so.

    Raises:
        InternalError: If a window breaks down.
    """
    if not _has_commit():
        note = f"needs the repository with its history up to {BEFORE}"
        return [Row(SECTION, "not measured", note=note)]
    times: dict[str, list[float]] = {}
    with _checked_out() as earlier, in_the_window(bundle, folder, setting) as (task, environment):
        for turn in range(1, setting.rounds + 1):
            for title, place in ((EARLIER, earlier), ("now", REPOSITORY)):
                setting.say(f"window, {title}, round {turn} of {setting.rounds}")
                paths = (place / "FactorizerSegmentation", place / "Testing")
                own = {
                    **environment,
                    "PYTHONPATH": os.pathsep.join(map(str, paths)),
                    "FACTORIZER_MODELS": str(paths[0] / "Resources" / "models"),
                }
                for name, seconds in one_round(task, own, place / "Testing").items():
                    times.setdefault(f"{name}, {title}", []).extend(seconds)
    return [
        Row(SECTION, name, now, ratios={EARLIER: ratio(now, times[f"{name}, {EARLIER}"])})
        for name in NAMES
        if (now := times.get(f"{name}, now"))
    ] + [Row(SECTION, f"{name}, {EARLIER}", times[f"{name}, {EARLIER}"]) for name in NAMES]


def _has_commit() -> bool:
    command = ["git", "-C", str(REPOSITORY), "cat-file", "-e", f"{BEFORE}^{{commit}}"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:  # no git
        return False


@contextmanager
def _checked_out() -> Iterator[Path]:
    """The files of the commit, in a folder that vanishes."""
    command = ["git", "-C", str(REPOSITORY), "archive", BEFORE]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed)) as files:
        if sys.version_info >= (3, 12):
            files.extractall(folder, filter="data")
        else:
            files.extractall(folder)
        yield Path(folder)
