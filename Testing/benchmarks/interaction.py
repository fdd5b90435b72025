"""What a user of the module waits for, in a window of the stand-in host (`Testing/host`)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, Setting
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.protocol.errors import InternalError
from factorizer_engine.protocol.matching import match_channels

SECTION = "In the window"
OPENING, FIRST, AGAIN = "opening the panel", "cold start to first result", "warm re-run"
BOXED = "warm re-run inside a box around the largest lesion"
QUICK = "the same, quick: windows laid around the box"
EXPLAINING = "explaining, warm"
CLICKING = "a click that corrects, warm"
OPACITY, SHOWN_PART = "moving the opacity slider", "moving the slider of the shown part"
SWITCHING = "switching the component"
CHECKING = "check of the scans after two were exchanged, warm, in the background"
THUMBNAILS = "pictures of all components in another slice"
HERE = "explaining where the mouse is, a move of it"
PAUSE = "longest pause of the window in a warm re-run, loading the result included"
PAUSE_EXPLAINING = "longest pause of the window while explaining, heatmaps included"
NAMES = (
    OPENING,
    FIRST,
    AGAIN,
    CLICKING,
    BOXED,
    QUICK,
    EXPLAINING,
    OPACITY,
    SHOWN_PART,
    SWITCHING,
    CHECKING,
    THUMBNAILS,
    HERE,
    PAUSE,
    PAUSE_EXPLAINING,
)
PAUSE_LIMIT, CHECK_LIMIT = 0.1, 2.0
"""Goals in seconds for the longest pause, and for the check of the scans."""
NOT_MEASURED = "not measured"

_PACKAGES = ("slicer", "PySide6")
_TIMEOUT = 1800


def measure_interaction(bundle: Bundle, folder: Path, setting: Setting) -> list[Row]:
    """From a click to the drawn window; every round in a fresh host with a fresh engine.

    Raises:
        InternalError: If the window breaks down.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        note = f"needs {' and '.join(missing)} (pip install slicer-core PySide6-Essentials)"
        return [Row(SECTION, NOT_MEASURED, note=note)]
    rounds = []
    with in_the_window(bundle, folder, setting) as (task, environment):
        for turn in range(1, setting.rounds + 1):
            setting.say(f"window, round {turn} of {setting.rounds}")
            rounds.append(one_round(task, environment))
    times = {name: [s for times in rounds for s in times.get(name, ())] for name in NAMES}
    return [Row(SECTION, name, seconds) for name, seconds in times.items() if seconds]


@contextmanager
def in_the_window(
    bundle: Bundle, folder: Path, setting: Setting
) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """What `one_round` takes, while there is a display."""
    from host.display import display_environment

    paths = match_channels(sorted(folder.iterdir()), bundle.description.channels)
    task = {
        "title": bundle.description.title,
        "device": str(setting.device),
        "scans": {name: str(path) for name, path in paths.items()},
    }
    with display_environment() as variables:
        yield (
            task,
            {
                **os.environ,
                **variables,
                "FACTORIZER_MODELS": str(bundle.description.path.parent),
                "OMP_NUM_THREADS": str(setting.threads),
            },
        )


def one_round(
    task: dict[str, Any], environment: dict[str, str], testing: Path | None = None
) -> dict[str, list[float]]:
    """Seconds of every interaction of one session.

    Args:
        task: The model, the device and the scans.
        environment: Variables of the process.
        testing: Folder whose benchmark is run; by default this one.

    Raises:
        InternalError: If the window breaks down.
    """
    command = [sys.executable, "-m", "benchmarks.interaction_in_host", json.dumps(task)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, cwd=testing
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        raise InternalError("The window broke down while it was measured.", done.stderr[-4000:])
    return json.loads(lines[-1])
