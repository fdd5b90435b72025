"""Labelled cases put through a model, for `components --prove` and `--describe`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.inference.result import SegmentationResult
    from factorizer_engine.inference.segmenter import Segmenter
    from factorizer_engine.training.data.dataset import Dataset
    from factorizer_engine.training.evaluation.evaluation import Use
    from factorizer_engine.training.evaluation.predictors import ModelPredictor


@dataclass(frozen=True)
class Segmented:
    """A case, what the model found in it, and what there is.

    Attributes:
        case: Its name.
        result: What was found.
        truth: By region of the model, its true mask, 0 and 1.
        monitor: To be told how far the rest of the work on this case has come.
    """

    case: str
    result: SegmentationResult
    truth: dict[str, Scan]
    monitor: Monitor


@dataclass(frozen=True)
class LabelledCases:
    """Cases with labels for all regions of a model, and the model."""

    predictor: ModelPredictor
    dataset: Dataset

    @classmethod
    def open(cls, data: Path, cases: Sequence[str], use: Use, choice: ModelChoice) -> LabelledCases:
        """The cases of those names, or those that the split puts to `use`.

        Raises:
            BadInputError: If no model is named, or cases or regions are unknown.
        """
        from factorizer_engine.inference.allocator import keep_freed_memory
        from factorizer_engine.training.evaluation.evaluation import select_cases
        from factorizer_engine.training.evaluation.predictors import open_model

        if not choice.model:
            raise BadInputError("Say which model is meant: give it with --model.")
        dataset = select_cases(data, cases, use)
        keep_freed_memory()
        predictor = open_model(choice.model, choice.device, choice.precision)
        for region in predictor.segmenter.bundle.description.regions:
            if region.name not in dataset.regions:
                raise BadInputError(
                    f"The dataset has no region {region.name}; its regions are "
                    f"{', '.join(dataset.regions)}."
                )
        return cls(predictor, dataset)

    def of(self, segmenter: Segmenter) -> LabelledCases:
        """The same cases put through another segmenter."""
        return replace(self, predictor=replace(self.predictor, segmenter=segmenter))

    def segmented(
        self, monitor: Monitor, studies: Sequence[Sequence[str]] = ()
    ) -> Iterator[Segmented]:
        """The cases, one after the other.

        Args:
            monitor: Told of the progress, and asked whether to stop.
            studies: The channels that are given to the model, those of a case after the other, and
                from the front again when they end; all without any.
        """
        from factorizer_engine.images.scan import Scan

        parts = monitor.parts(len(self.dataset.cases))
        for case, part, given in zip(
            self.dataset.cases, parts, cycle(studies or [()]), strict=False
        ):
            scans, label = self.predictor.inputs(case)
            scans = {name: scan for name, scan in scans.items() if not given or name in given}
            part.report(f"segmenting {case.name}", 0.0)
            result = self.predictor.result(scans, next(iter(scans)))
            truth = {
                region.name: Scan(
                    np.isin(label.array, self.dataset.regions[region.name]).astype(np.float32),
                    label.grid,
                )
                for region in result.model.regions
            }
            yield Segmented(case.name, result, truth, part.span(0.1, 1.0))
