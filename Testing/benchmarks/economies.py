"""What fewer sweeps and short-circuited factorisations cost in Dice, and save in time.

`python -m benchmarks.economies DATA --case NAME ... -o economies.csv`: every variant segments every
case; its time is that of one window, measured in turns with the network as it was trained.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch

from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.networks import named_mixers
from factorizer_engine.protocol.files import write_csv
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.predictors import open_model

SWEEPS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Variant:
    """A way to apply a trained network."""

    title: str
    sweeps: int | None = None
    short_circuits: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.economies")
    parser.add_argument("data", type=Path, help="training configuration or folder of a dataset")
    parser.add_argument("--model", default="glioma-fast")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--together", nargs="*", default=[], help="blocks to leave out at once")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    predictor = open_model(options.model, "cpu")
    dataset = select_cases(options.data, options.case)
    cases = [(*predictor.inputs(case), case.name) for case in dataset.cases]
    names = [region.name for region in predictor.segmenter.bundle.description.regions]
    trained = _segmenter(options.model, Variant("as trained"))
    rows = [["variant", "time of a window", *(f"Dice {name}" for name in names), "worst change"]]
    reference: np.ndarray | None = None
    for variant in _variants(trained, tuple(options.together)):
        segmenter = _segmenter(options.model, variant)
        scores = np.array(
            [_scores(segmenter, scans, label, dataset.regions, names) for scans, label, _ in cases]
        )
        reference = scores if reference is None else reference
        relative = _relative_time(segmenter, trained, options.rounds)
        worst = float((scores - reference).min())
        dice = [f"{mean(column):.3f}" for column in scores.T]
        rows.append([variant.title, f"{relative:.2f}", *dice, f"{worst:+.3f}"])
        print(rows[-1], flush=True)
        write_csv(options.output, rows)


def _variants(segmenter: Segmenter, together: tuple[str, ...]) -> Iterator[Variant]:
    yield Variant("as trained")
    for sweeps in SWEEPS:
        yield Variant(f"{sweeps} sweep{'s' * (sweeps > 1)}", sweeps)
    for block, _ in named_mixers(segmenter.networks[0]):
        yield Variant(f"without {block}", None, (block,))
    if together:
        yield Variant(f"without {', '.join(together)}", None, together)
        yield Variant(f"2 sweeps, without {', '.join(together)}", 2, together)


def _segmenter(model: str, variant: Variant) -> Segmenter:
    bundle = resolve_model(model, "cpu")
    inference = replace(
        bundle.inference, sweeps=variant.sweeps, short_circuits=variant.short_circuits
    )
    return Segmenter(replace(bundle, inference=inference), "cpu")


def _scores(
    segmenter: Segmenter,
    scans: dict[str, Scan],
    label: Scan,
    regions: dict[str, tuple[int, ...]],
    names: Sequence[str],
) -> list[float]:
    """Dice of every region, as it is painted."""
    found = segmenter.segment(scans, next(iter(scans))).labelmap.array
    scores = []
    for name in names:
        ours, theirs = (np.isin(voxels, regions[name]) for voxels in (found, label.array))
        scores.append(2 * (ours & theirs).sum() / max(ours.sum() + theirs.sum(), 1))
    return scores


def _relative_time(segmenter: Segmenter, other: Segmenter, rounds: int) -> float:
    """Time of a window as a part of that of another segmenter, the median of ratios."""
    network, settings = segmenter.networks[0], segmenter.bundle.inference
    window = torch.randn(1, len(segmenter.bundle.description.channels), *settings.roi_size)
    with torch.inference_mode():
        ratios = []
        for _ in range(rounds + 1):
            ours, theirs = (_seconds(n, window) for n in (network, other.networks[0]))
            ratios.append(ours / theirs)
    return median(ratios[1:])  # the first compiles


def _seconds(network: torch.nn.Module, window: torch.Tensor) -> float:
    began = time.process_time()
    network(window)
    return time.process_time() - began


if __name__ == "__main__":
    main()
