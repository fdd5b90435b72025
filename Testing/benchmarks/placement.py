"""How much where the windows lie decides, and how right the result is, at each quality.

Zeros around the scans move the outermost windows outwards by so many mm, along all axes, and those
between with them; the result should stay. Run, in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.placement DATA MODEL CASE...

DATA is a training configuration, the folder of a run or of a dataset.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.bundles.settings import Preprocessing
from factorizer_engine.images.preprocessing import Prepared, Preprocessor
from factorizer_engine.images.scan import Scan
from factorizer_engine.images.store import IN_MEMORY, Store
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.runs import Quality, RunOptions
from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.data.dataset import Dataset
from factorizer_engine.training.evaluation.evaluation import select_cases
from factorizer_engine.training.evaluation.predictors import ModelPredictor
from factorizer_engine.training.evaluation.scoring import dice_on

MOVES_MM = (0.0, 8.0)


class MovedPreprocessor(Preprocessor):
    """Brings scans into a model's space, with so many mm of zeros around them."""

    def __init__(self, preprocessing: Preprocessing, mm: float) -> None:
        super().__init__(preprocessing)
        self._mm = mm

    def prepare(
        self,
        scans: Sequence[Scan | None],
        reference: Scan,
        store: Store = IN_MEMORY,
        turned_up: bool = False,
    ) -> Prepared:
        return moved(super().prepare(scans, reference, store, turned_up), self._mm)


def moved(prepared: Prepared, mm: float) -> Prepared:
    """The scans where they are, with so many mm of zeros around them."""
    voxels = [round(mm / size) for size in prepared.grid.spacing]
    array = np.pad(prepared.array, [(0, 0), *((count, count) for count in voxels)])
    shape = prepared.grid.shape
    box = triple(slice(-n, size + n) for n, size in zip(voxels, shape, strict=True))
    return replace(prepared, array=array, grid=prepared.grid.crop(box))


def results(predictor: ModelPredictor, scans: dict[str, Scan], quality: Quality) -> Iterator[Scan]:
    """The label maps of a case, one a place of the windows."""
    segmenter = predictor.segmenter
    options = RunOptions(mirroring=quality.mirroring, overlap=quality.overlap)
    for mm in MOVES_MM:
        for stage in (segmenter, segmenter.coarse):
            if stage is not None:
                stage.preprocessor = MovedPreprocessor(stage.bundle.preprocessing, mm)
        yield segmenter.segment(scans, next(iter(scans)), options).labelmap


def measure(
    predictor: ModelPredictor, dataset: Dataset, quality: Quality
) -> tuple[np.ndarray, np.ndarray]:
    """Dice with the truth, and with itself when the windows move, (cases, regions) each."""
    right, same = [], []
    for case in dataset.cases:
        scans, label = predictor.inputs(case)
        first, second = results(predictor, scans, quality)
        right.append(list(dice_on(first, label, dataset).values()))
        same.append(list(dice_on(second, first, dataset).values()))
        print(case.name, quality.value, np.round(right[-1], 3), np.round(same[-1], 3), flush=True)
    return np.array(right), np.array(same)


def main(data: str, model: str, cases: Sequence[str]) -> int:
    """Print a table with a row a quality."""
    dataset = select_cases(data, cases)
    predictor = ModelPredictor(Segmenter(resolve_model(model, "cpu"), "cpu"))
    rows = []
    for quality in Quality:
        right, same = measure(predictor, dataset, quality)
        figures = [*right.mean(axis=0), *same.mean(axis=0), *same.min(axis=0)]
        rows.append(f"| {quality.value} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")
    titles = ("", "with itself, moved: ", "worst: ")
    names = [f"{title}{region}" for title in titles for region in dataset.regions]
    print(f"| quality | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|", *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
