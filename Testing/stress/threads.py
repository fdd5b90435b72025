"""The sample case on one to eight threads: the same result, and bit by bit on the same number."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.sample import brain_tumour
from stress.trial import Trial

MODEL = "glioma-fast"
MOST_THREADS = 8
CLOSE = 1e-5
"""How much probabilities may differ."""
RARE = 1e-4
"""Part of the voxels whose label may differ."""

PACKAGE_PARENT = Path(__file__).resolve().parents[2] / "FactorizerSegmentation"

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from factorizer_engine import Segmenter, read_scan, resolve_model
model, output, *inputs = sys.argv[1:]
scans = {name: read_scan(Path(file)) for name, file in (text.split("=", 1) for text in inputs)}
found = Segmenter(resolve_model(model), "cpu").segment(scans)
np.savez(output, labels=found.labelmap.array, probabilities=found.probabilities)
"""


@dataclass(frozen=True)
class Found:
    """A result: label map, and probabilities of every region."""

    labels: np.ndarray
    probabilities: np.ndarray


def thread_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """One thread twice, then two to eight, each held against the first."""
    inputs = [f"{name}={path}" for name, path in brain_tumour().channels.items()]
    first = segmented(MODEL, inputs, 1, folder)
    yield compared("1 thread again", first, segmented(MODEL, inputs, 1, folder), exactly=True)
    for threads in range(2, MOST_THREADS + 1):
        yield compared(f"{threads} threads", first, segmented(MODEL, inputs, threads, folder))


def segmented(model: str, inputs: list[str], threads: int, folder: Path) -> Found:
    """What a process of its own finds with so many threads.

    Args:
        model: Name or path.
        inputs: "CHANNEL=FILE" each.
    """
    file = folder / "found.npz"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(file), *inputs],
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": str(PACKAGE_PARENT),
        },
        check=True,
    )
    with np.load(file) as saved:
        return Found(saved["labels"], saved["probabilities"])


def compared(title: str, first: Found, other: Found, exactly: bool = False) -> Trial:
    """Whether two results are the same; prints by how much they differ."""
    apart = float(np.abs(first.probabilities - other.probabilities).max())
    changed = float((first.labels != other.labels).mean())
    text = f"{title}: probabilities differ by {apart:.1e}, labels in {changed:.1e} of the voxels"
    print(text, flush=True)
    good = apart == changed == 0 if exactly else apart <= CLOSE and changed <= RARE
    return Trial(title, False, "" if good else text)
