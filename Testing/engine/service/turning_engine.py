"""The real engine on a device that is made up: the processor, which has to be waited for.

Run as a program; FACTORIZER_TURNS says where engines agree on turns.
"""

from __future__ import annotations

import os

from factorizer_engine.service import engine, turns, worker

turns.name_of = lambda device: "fake"
engine.PATIENCE_SECONDS = float(os.environ.get("PATIENCE", "600"))

if __name__ == "__main__":
    worker.main()
