"""How long each click takes to be answered, and the slowest: simulated users correct cases.

Time is the processor's, of one thread, which does not depend on what else the machine does. Run,
in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.click_times DATA MODEL \
        [--finer] [--scribbles] [--case NAME ...]

DATA is in nnU-Net layout; `--finer` looks at every scan with voxels of half the size, too. Users of
models that are made for clicks begin with nothing. `--scribbles` times strokes of a brush through
the middle of the scan, across more and more slices, and one that wants the opposite beside each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.clicks import users_of
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.predictors import ModelPredictor, open_model

Inputs = tuple[dict[str, Scan], Scan]
"""The scans of a case by channel, and its label."""

_SLICES, _ASIDE = (1, 30, 60, 90), 16
"""Across how many slices strokes go, and how many voxels the opposite ones lie beside them."""


def halved(scan: Scan, order: str = "linear") -> Scan:
    """The scan with voxels of half the size along every axis."""
    return resample(scan, scan.grid.respaced(triple(s / 2 for s in scan.spacing)), order)


def tell(predictor: ModelPredictor, dataset: Dataset, name: str, case: Inputs) -> None:
    """Print of the user of every region Dice after each click, the seconds of each, the slowest."""
    scans, label = case
    result = predictor.result(scans, next(iter(scans)))
    for region, values in dataset.regions.items():
        users = users_of(predictor, result, label, guide_of(predictor.segmenter))
        dice = " ".join(f"{one:.3f}" for one in users.correct(region, values))
        worked = users.processor_seconds or [0.0]
        print(f"{name} {region}: Dice {dice}")
        print("   s " + " ".join(f"{one:.3f}" for one in worked))
        print(f"   median {np.median(worked):.3f} s, slowest {max(worked):.3f} s", flush=True)


def scribble(grid: Grid, region: str, slices: int, aside: int, add: bool) -> Click:
    """A winding stroke of a brush of two voxels, across so many slices about the middle."""
    disc = np.argwhere(np.hypot(*(np.indices((5, 5)) - 2)) <= 2) - 2
    numbers = np.arange(slices)
    winding = np.stack([25 * np.sin(numbers / 25) + aside, 20 * np.cos(numbers / 14)], axis=1)
    offsets = winding.astype(int)[:, None] + disc
    third = np.broadcast_to(numbers[:, None, None] - slices // 2, (*offsets.shape[:2], 1))
    voxels = np.concatenate([offsets, third], axis=2).reshape(-1, 3) + np.array(grid.shape) // 2
    voxels = np.clip(voxels, 0, np.array(grid.shape) - 1)
    places = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return Click(region, tuple(map(tuple, places.tolist())), add)


def tell_scribbles(predictor: ModelPredictor, name: str, scans: dict[str, Scan]) -> None:
    """Print the seconds of strokes across some numbers of slices, and of opposite ones beside."""
    result, guide = predictor.result(scans, next(iter(scans))), guide_of(predictor.segmenter)
    threshold, region = predictor.segmenter.bundle.inference.threshold, result.model.regions[-1]
    nothing = result.labelmap.with_array(np.zeros(result.labelmap.shape, np.uint8))
    for slices in _SLICES:
        correction, seconds = Correction(result, threshold, guide, nothing), []
        for aside, add in ((0, True), (_ASIDE, False)):
            stroke = scribble(nothing.grid, region.name, slices, aside, add)
            start = time.process_time()
            correction.answer(stroke)
            seconds.append(time.process_time() - start)
        first, second = seconds
        print(f"{name} {region.name}, {slices} slices: {first:.2f} s, opposite {second:.2f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--finer", action="store_true")
    parser.add_argument("--scribbles", action="store_true")
    parser.add_argument("--case", action="append", default=[])
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    predictor = open_model(given.model, "cpu", "float32", None, (), None)
    dataset = select_cases(given.data, given.case, "all")
    for case in dataset.cases:
        scans, label = predictor.inputs(case)
        inputs = {case.name: (scans, label)}
        if given.finer:
            fine = {name: halved(scan) for name, scan in scans.items()}
            inputs[f"{case.name} finer"] = fine, halved(label, "nearest")
        for name, own in inputs.items():
            tell(predictor, dataset, name, own)
            if given.scribbles:
                tell_scribbles(predictor, name, own[0])


if __name__ == "__main__":
    main()
