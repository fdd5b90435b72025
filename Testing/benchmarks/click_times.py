"""How long each click takes to be answered, and the slowest: simulated users correct cases.

Time is the processor's, of one thread, which does not depend on what else the machine does. Run,
in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.click_times DATA MODEL \
        [--finer] [--case NAME ...]

DATA is in nnU-Net layout; `--finer` looks at every scan with voxels of half the size, too. Users of
models that are made for clicks begin with nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.clicks import users_of
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.predictors import ModelPredictor, open_model

Inputs = tuple[dict[str, Scan], Scan]
"""The scans of a case by channel, and its label."""


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--finer", action="store_true")
    parser.add_argument("--case", action="append", default=[])
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    predictor = open_model(given.model, "cpu", "float32", None, (), None)
    dataset = select_cases(given.data, given.case, "all")
    for case in dataset.cases:
        scans, label = predictor.inputs(case)
        tell(predictor, dataset, case.name, (scans, label))
        if given.finer:
            fine = {name: halved(scan) for name, scan in scans.items()}
            tell(predictor, dataset, f"{case.name} finer", (fine, halved(label, "nearest")))


if __name__ == "__main__":
    main()
