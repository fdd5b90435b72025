"""A study far larger than memory: 512 x 512 x 512 voxels, four channels, four gigabytes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from demo.sample import brain_tumour, dice_scores
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from stress.trial import Trial

SIDE = 512
"""Voxels along each axis."""
LIMIT = 4 * 2**30
"""Bytes that each process may take."""
LEAST_DICE = 0.75
"""Of every region against the experts; the scans at their own resolution reach 0.80."""


def large_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """`factorizer segment` of the large study with the shipped model under the limit, once."""
    inputs, output = write_study(folder), folder / "out"
    command = [sys.executable, "-m", "factorizer_engine.cli", "segment", "-m", "glioma-fast"]
    command += ["-d", "cpu", "-o", str(output), *(part for i in inputs for part in ("-i", i))]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=_limit)
    seconds, peak = time.monotonic() - began, _peak() / 2**30
    print(f"{seconds:.0f} s, at most {peak:.1f} GiB in a process\n{done.stderr}", flush=True)
    if done.returncode:
        yield Trial("segment", False, f"exit code {done.returncode}: {done.stderr}")
        return
    found = np.asarray(nib.load(output / "segmentation.nii.gz").dataobj)
    scores = dice_scores(found, _on_fine_grid(brain_tumour().label, "nearest")[0])
    print("Dice " + ", ".join(f"{name} {score:.2f}" for name, score in scores.items()), flush=True)
    low = min(scores.values()) < LEAST_DICE
    yield Trial("segment", False, f"the lesion is not found: {scores}" if low else "")


def write_study(folder: Path) -> list[str]:
    """The sample case on a grid of small voxels, as "CHANNEL=FILE" for each channel."""
    inputs = []
    for name, path in brain_tumour().channels.items():
        voxels, affine = _on_fine_grid(path, "linear")
        file = folder / f"{name}.nii"
        nib.save(nib.Nifti1Image(np.rint(voxels).astype(np.int16), affine), file)
        inputs.append(f"{name}={file}")
    return inputs


def _on_fine_grid(path: Path, order: str) -> tuple[np.ndarray, np.ndarray]:
    """A scan of the sample case on `SIDE` voxels along each axis, and their affine."""
    scan = read_scan(path)
    size = max(scan.shape) / SIDE
    affine = scan.affine @ np.diag([size, size, size, 1.0])
    return resample(scan, Grid((SIDE, SIDE, SIDE), affine), order).array, affine


def _peak() -> int:
    """The most memory, in bytes, that a process of those that have ended was seen to hold."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
