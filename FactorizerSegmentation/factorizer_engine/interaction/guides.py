"""Who is asked about the surroundings of a click: the maps of a run, or a network that is told."""

from __future__ import annotations

from collections.abc import Mapping
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
from factorizer_engine.interaction.prompting import SMALL_ML, answer_to_prompts
from factorizer_engine.interaction.regression import (
    MAPS,
    NETWORK_ADDS,
    NETWORK_REMOVES,
    Surroundings,
    log_odds,
)
from factorizer_engine.interaction.thresholding import LocalThreshold, reach, widened
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.progress import Monitor

_SMOOTH_MM = 1.0
"""Standard deviation by which fine scans are smoothed before they are compared."""

_FLOOD = 20
"""So many times what the network adds, and more than is small, is healthy tissue that looks alike:
beside three lesions of 0.1 to 0.5 mL a fourth would have become one of 201 mL for one of 0.4."""

_MOST_OPPOSITE = 32
"""Places clicked to the opposite that voxels are compared with: a scribble has hundreds."""


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
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        return self.labelmap.grid.spacing

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

    def surroundings(self, question: Question, monitor: Monitor) -> Surroundings:
        """What the regression is told."""
        found = question.mask_in(question.result.labelmap)
        scans = _scans_in(question, _SMOOTH_MM)
        return _surroundings(question, question.probabilities, found, scans)

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """What the regression says where the click may change something; else those of the run."""
        around = self.surroundings(question, monitor)
        return _answered(around, question.threshold, MAPS, self.settings)


@dataclass(frozen=True)
class NetworkGuide:
    """A network with prompt channels, which is told of all clicks and of the segmentation.

    It moves the threshold itself; what is moved beside makes sure that the click wins, and follows
    it a little further where the model says so. If the model says so, a regression weighs its
    answer against what the scans look like, see `interaction.regression`.
    """

    segmenter: Segmenter
    note: str = ""

    @property
    def settings(self) -> LocalThreshold:
        """The model's own."""
        prompts = self.segmenter.bundle.prompts
        assert prompts is not None
        return LocalThreshold(margin=prompts.margin)

    def surroundings(self, question: Question, monitor: Monitor) -> Surroundings:
        """What the regression is told."""
        return self._around(question, self._says(question, monitor))

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """What the network says in a window around the click, or the regression after it."""
        own, prompts = self._says(question, monitor), self.segmenter.bundle.prompts
        if prompts is None or not prompts.likeness or self._grows_small(question, own):
            return own
        weights = NETWORK_ADDS if question.click.add else NETWORK_REMOVES
        around = self._around(question, own)
        answered = _answered(around, question.threshold, weights, self.settings)
        return own if self._floods(question, own, answered) else answered

    @staticmethod
    def _floods(question: Question, own: np.ndarray, answered: np.ndarray) -> bool:
        """Whether the regression adds far more than the network, whose probabilities are `own`."""
        if not question.click.add:
            return False
        grid, before = question.labelmap.grid, question.mask
        network, regression = (
            grid.volume_ml(int(np.count_nonzero((logit(found) > question.threshold) & ~before)))
            for found in (own, answered)
        )
        return regression > max(SMALL_ML, _FLOOD * network)

    @staticmethod
    def _grows_small(question: Question, own: np.ndarray) -> bool:
        """Whether a lesion grows as the network alone says: so far from the click of a small one,
        much that is healthy looks like it."""
        held = int(np.count_nonzero(logit(own) > question.threshold))
        return question.click.add and question.labelmap.grid.volume_ml(held) < SMALL_ML

    def _around(self, question: Question, own: np.ndarray) -> Surroundings:
        return _surroundings(question, own, question.mask, _scans_in(question, 0.0))

    def _says(self, question: Question, monitor: Monitor) -> np.ndarray:
        answered = answer_to_prompts(
            self.segmenter,
            question.result,
            question.labelmap,
            question.clicks,
            question.box,
            monitor,
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


def _surroundings(
    question: Question, probabilities: np.ndarray, found: np.ndarray, scans: np.ndarray
) -> Surroundings:
    add = question.click.add
    towards = logit(probabilities) - question.threshold
    return Surroundings(
        towards=towards if add else -towards,
        settled=question.mask == add,
        found=found,
        distance=question.distance,
        places=question.places,
        scans=scans,
        add=add,
        spacing=question.spacing,
        opposite=_seen_at_opposite(question, scans),
    )


def _answered(
    around: Surroundings, threshold: float, weights: Mapping[str, float], settings: LocalThreshold
) -> np.ndarray:
    """Probabilities, with those of a regression where the click may change something."""
    towards = around.towards.copy()
    asked = ~around.settled & (around.scans != 0).any(axis=0)
    asked &= around.distance <= reach(widened(around.depth, settings), settings)
    towards[asked] = log_odds(around, asked, weights)
    return sigmoid_((towards if around.add else -towards) + threshold)


def _seen_at_opposite(question: Question, scans: np.ndarray) -> np.ndarray:
    """What scans (C, *box) show (C, N) at earlier clicks in the box that want the opposite."""
    places = [
        question.labelmap.grid.indices_of(np.asarray(click.points))
        for click in question.clicks[:-1]
        if click.region == question.click.region and click.add != question.click.add
    ]
    if not places:
        return scans[:, 0, 0, :0]
    starts = [axis.start for axis in question.box]
    indices = np.rint(np.concatenate(places)).astype(int) - starts
    inside = ((indices >= 0) & (indices < scans.shape[1:])).all(axis=1)
    first, second, third = _some(indices[inside], _MOST_OPPOSITE).T
    return scans[:, first, second, third]


def _some(places: np.ndarray, most: int) -> np.ndarray:
    """At most so many of places (N, 3), evenly along them."""
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).astype(int)]


def _scans_in(question: Question, smooth_mm: float) -> np.ndarray:
    """The scans that show something around the click, as the model saw them, (C, *box).

    They are 0 outside the head; where none shows anything it is one of zeros. They are smoothed by
    a Gaussian unless their voxels are as coarse as twice its deviation.
    """
    prepared, wanted = question.result.prepared, question.labelmap.grid.crop(question.box)
    part = prepared.needed_for(question.box)
    grid = prepared.grid.crop(part)
    # Scans that are missing, and channels for clicks, are zeros there.
    scans = [scan for scan in prepared.array[in_all_channels(part)] if scan.any()]
    if not scans:
        return np.zeros((1, *wanted.shape), dtype=np.float32)
    sigma = [smooth_mm / size if size < 2 * smooth_mm - 0.1 else 0.0 for size in grid.spacing]
    if any(sigma):
        scans = [ndimage.gaussian_filter(scan, sigma) for scan in scans]
    return np.stack([resample(Scan(scan, grid), wanted).array for scan in scans])
