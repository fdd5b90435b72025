"""Standard streams of a process that talks to another one by them."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO


def claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for the protocol alone.

    Afterwards anything that prints, in Python or in native code, ends up in standard error, and
    anything that reads standard input finds it empty.
    """
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink
