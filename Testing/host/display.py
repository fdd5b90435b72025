"""A display for windows where there is none: Xvfb, or else Qt's own offscreen platform."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SCREEN = "1600x1200x24"


@contextmanager
def display_environment() -> Iterator[dict[str, str]]:
    """Environment variables under which Qt can open windows, while the context lasts.

    A display that is there is used; on Linux Xvfb is started otherwise, and where it is not
    installed Qt draws into memory.
    """
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        yield {}
        return
    if shutil.which("Xvfb") is None:
        yield {"QT_QPA_PLATFORM": "offscreen"}
        return
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(writer,), stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as lines:
            number = lines.readline().strip()
        if number:
            yield {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
        else:
            yield {"QT_QPA_PLATFORM": "offscreen"}
    finally:
        server.terminate()
        server.wait()
