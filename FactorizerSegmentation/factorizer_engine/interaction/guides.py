"""Who is asked about the surroundings of a click: the maps of a run, or a network that is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.windows import Box
from factorizer_engine.interaction.prompting import answer_to_prompts
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.progress import Monitor


@dataclass(frozen=True)
class Question:
    """A click that is to be answered.

    Attributes:
        result: Of the scans that are looked at.
        labelmap: The segmentation as it is before the click, on the grid of the result.
        clicks: All clicks, the one to be answered last.
        box: The part of the grid that may change.
    """

    result: SegmentationResult
    labelmap: Scan
    clicks: tuple[Click, ...]
    box: Box

    @property
    def click(self) -> Click:
        """The one to be answered."""
        return self.clicks[-1]

    @property
    def region(self) -> int:
        """The number of its region among those of the result."""
        return [region.name for region in self.result.model.regions].index(self.click.region)


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
class MapGuide:
    """The probability maps of the run, which know nothing of the click.

    Of the settings, those are taken that served best on seven gliomas which the network of
    `glioma-fast` had not been trained on (two of its validation, three of BraTS 2013, two of
    children); see docs/evidence.md.
    """

    settings: LocalThreshold = LocalThreshold()
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Those of the run."""
        return question.result.probabilities[question.region][question.box]


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
    return MapGuide(
        note=f"{title} has not learned from clicks, so each moves the threshold of the probability "
        "around it."
    )
