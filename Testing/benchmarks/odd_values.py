"""`python -m benchmarks.odd_values`: the sample case with odd values, against the experts.

Each change leaves what the scans show as it is, so that the result should stay, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from demo.sample import brain_tumour, dice_scores
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter

SIZE = 0.8
"""Voxel size in mm to which scans are brought by splines, and back."""


def unchanged(scan: Scan) -> Scan:
    """The scan as it is."""
    return scan


def with_outlier(scan: Scan) -> Scan:
    """One voxel in the middle far beyond all others."""
    array = scan.array.astype(np.float32)
    array[tuple(n // 2 for n in array.shape)] = 1e6
    return scan.with_array(array)


def with_other_background(scan: Scan) -> Scan:
    """A background of -1."""
    return scan.with_array(np.where(scan.array == 0, -1, scan.array).astype(np.float32))


def standardised(scan: Scan) -> Scan:
    """Less the mean, over the deviation, of the whole volume."""
    array = scan.array.astype(np.float32)
    return scan.with_array((array - array.mean()) / array.std())


def standardised_inside(scan: Scan) -> Scan:
    """The same by the brain alone; the background stays 0, amid the brain's values."""
    array = scan.array.astype(np.float32)
    inside = array[array != 0]
    return scan.with_array(np.where(array != 0, (array - inside.mean()) / inside.std(), 0))


def standardised_by_brain(scan: Scan) -> Scan:
    """By mean and deviation of the brain, the background, too."""
    array = scan.array.astype(np.float32)
    inside = array[array != 0]
    return scan.with_array((array - inside.mean()) / inside.std())


def ringing(scan: Scan) -> Scan:
    """Brought to smaller voxels and back by splines, which ring in the background."""
    finer = resample(scan, scan.grid.respaced((SIZE,) * 3), "cubic")
    return resample(finer, scan.grid, "cubic")


def noisy_background(scan: Scan) -> Scan:
    """Air with noise of 1 % of the brightest tissue around the brain."""
    array = scan.array.astype(np.float32)
    noise = np.abs(np.random.default_rng(0).normal(0, 0.01 * array.max(), array.shape))
    outside = ~ndimage.binary_fill_holes(array != 0)
    return scan.with_array(np.where(outside, noise, array).astype(np.float32))


CHANGES: tuple[Callable[[Scan], Scan], ...] = (
    unchanged,
    with_outlier,
    with_other_background,
    standardised,
    standardised_inside,
    standardised_by_brain,
    ringing,
    noisy_background,
)


def main() -> int:
    """Print Dice for every change."""
    sample = brain_tumour()
    scans = {name: read_scan(path) for name, path in sample.channels.items()}
    truth = read_scan(sample.label).array
    segmenter = Segmenter(resolve_model("glioma-fast", "cpu"), "cpu")
    print("| scans | ET | TC | WT |\n|---|---|---|---|")
    for change in CHANGES:
        result = segmenter.segment({name: change(scan) for name, scan in scans.items()})
        dice = dice_scores(result.labelmap.array, truth)
        values = " | ".join(f"{dice[region]:.3f}" for region in ("ET", "TC", "WT"))
        print(f"| {change.__name__.replace('_', ' ')} | {values} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
