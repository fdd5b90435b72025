"""Who is asked about the surroundings of a click: the maps of a run, or a network that is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import logit, sigmoid_
from factorizer_engine.inference.windows import Box
from factorizer_engine.interaction.prompting import answer_to_prompts
from factorizer_engine.interaction.regression import Surroundings, log_odds
from factorizer_engine.interaction.thresholding import LocalThreshold, reach, widened
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.progress import Monitor

_SMOOTH_MM = 1.0
"""Standard deviation by which fine scans are smoothed before they are compared."""


@dataclass(frozen=True, eq=False)
class Question:
    """A click that is to be answered.

    Attributes:
        result: Of the scans that are looked at.
        labelmap: The segmentation as it is before the click, on the grid of the result.
        clicks: All clicks, the one to be answered last.
        box: The part of the grid that may change.
        threshold: Logit from which a region holds.
        places: The clicked voxels (N, 3) in the box.
        distance: To them, in mm, in the box.
    """

    result: SegmentationResult
    labelmap: Scan
    clicks: tuple[Click, ...]
    box: Box
    threshold: float
    places: np.ndarray
    distance: np.ndarray

    @property
    def click(self) -> Click:
        """The one to be answered."""
        return self.clicks[-1]

    @property
    def region(self) -> int:
        """The number of its region among those of the result."""
        return [region.name for region in self.result.model.regions].index(self.click.region)

    @property
    def mask(self) -> np.ndarray:
        """Booleans: where its region holds in the box, before the click."""
        return self.mask_in(self.labelmap)

    def mask_in(self, labelmap: Scan) -> np.ndarray:
        """Booleans: where its region holds in the box of some label map on that grid."""
        regions = self.result.model.regions
        return mask_of(labelmap.array[self.box], regions[self.region], regions)

    @property
    def probabilities(self) -> np.ndarray:
        """Of its region in the box, as the run found them."""
        return self.result.probabilities[self.region][self.box]


class Guide(Protocol):
    """Says how probably a region holds around a click."""

    @property
    def settings(self) -> LocalThreshold:
        """How far the click moves the threshold of these probabilities."""
        ...

    @property
    def note(self) -> str:
        """How clicks are answered, for people, or ""."""
        ...

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Of the click's region in the box of the question, in 0 to 1."""
        ...


@dataclass(frozen=True)
class RegressionGuide:
    """A logistic regression on the maps of the run and the scans, see `interaction.regression`.

    It says itself how far a click reaches; the threshold is moved beside only as far as it takes to
    make sure that the click wins.
    """

    settings: LocalThreshold = LocalThreshold(margin=0.0)
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """What the regression says where the click may change something; else those of the run."""
        add, spacing = question.click.add, question.labelmap.grid.spacing
        sign = 1 if add else -1
        logits = logit(question.probabilities)
        around = Surroundings(
            towards=sign * (logits - question.threshold),
            settled=question.mask == add,
            found=question.mask_in(question.result.labelmap),
            distance=question.distance,
            places=question.places,
            scans=_scans_in(question),
            add=add,
            spacing=spacing,
        )
        asked = ~around.settled & (around.scans != 0).any(axis=0)
        asked &= around.distance <= reach(widened(around.depth, self.settings), self.settings)
        logits[asked] = sign * log_odds(around, asked) + question.threshold
        return sigmoid_(logits)


@dataclass(frozen=True)
class NetworkGuide:
    """A network with prompt channels, which is told of all clicks and of the segmentation.

    It moves the threshold itself; what is moved beside makes sure that the click wins, and follows
    it a little further where the model says so.
    """

    segmenter: Segmenter
    note: str = ""

    @property
    def settings(self) -> LocalThreshold:
        """The model's own."""
        prompts = self.segmenter.bundle.prompts
        assert prompts is not None
        return LocalThreshold(margin=prompts.margin)

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """What the network says in a window around the click."""
        answered = answer_to_prompts(
            *(self.segmenter, question.result, question.labelmap),
            *(question.clicks, question.box, monitor),
        )
        return answered[question.region]


def guide_of(segmenter: Segmenter) -> Guide:
    """The network if it has learned from clicks, else its maps, which the note says."""
    if segmenter.bundle.prompts is not None:
        return NetworkGuide(segmenter)
    title = segmenter.bundle.description.title
    return RegressionGuide(
        note=f"{title} has not learned from clicks, so each is answered by its probabilities and "
        "by how alike the scans are around it."
    )


def _scans_in(question: Question) -> np.ndarray:
    """The scans that were given, as the model saw them, but smooth, (C, *box); 0 outside the head.

    Voxels of 2 mm are smooth enough.
    """
    prepared, wanted = question.result.prepared, question.labelmap.grid.crop(question.box)
    part = prepared.needed_for(question.box)
    grid = prepared.grid.crop(part)
    scans = prepared.array[: len(question.result.model.channels)]
    if 0 in grid.shape:
        return np.zeros((len(scans), *wanted.shape), dtype=np.float32)
    scans = scans[in_all_channels(part)]
    sigma = [_SMOOTH_MM / size if size < 2 * _SMOOTH_MM - 0.1 else 0.0 for size in grid.spacing]
    smooth = [ndimage.gaussian_filter(scan, sigma) for scan in scans if scan.any()]
    return np.stack([resample(Scan(scan, grid), wanted).array for scan in smooth])
