"""Local thresholds as the guide of clicks: what a model's maps say if nothing else is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factorizer_engine.interaction.guides import Question
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.progress import Monitor


@dataclass(frozen=True)
class LocalThresholdGuide:
    """The probability maps of the run, whose threshold is moved around each click.

    Of the settings, those are taken that served best on seven gliomas which the network of
    `glioma-fast` had not been trained on (two of its validation, three of BraTS 2013, two of
    children); see docs/evidence.md.
    """

    settings: LocalThreshold = LocalThreshold()
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Those of the run."""
        return question.probabilities
