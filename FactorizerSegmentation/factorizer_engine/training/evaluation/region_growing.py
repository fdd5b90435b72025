"""Region growing as the guide of clicks: what a library does with one scan and no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.interaction.guides import Question
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.progress import Monitor

_MULTIPLIER, _ITERATIONS, _RADIUS = 2.5, 1, 1
"""As in ITK's own example of the filter."""


@dataclass(frozen=True)
class RegionGrowingGuide:
    """Takes what is connected to the click and as bright as it.

    ITK's `ConfidenceConnected`: from the mean and the deviation of the voxels around the click, and
    once more from those of what was found. Of a click that removes, what was found goes.
    """

    settings: LocalThreshold = LocalThreshold(margin=0.0, sigma_mm=(10.0, 10.0), reach_mm=25.0)
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Of the click's region in the box of the question: 1 or 0."""
        prepared, click = question.result.prepared, question.click
        wanted = question.labelmap.grid.crop(question.box)
        part = prepared.grid.box_of(wanted)
        grid = prepared.grid.crop(part)
        if 0 in grid.shape:
            return np.full(wanted.shape, 0.5, dtype=np.float32)
        scan = prepared.array[in_all_channels(part)][0]
        places = grid.nearest_voxels(np.asarray(click.points))
        grown = sitk.ConfidenceConnected(
            sitk.GetImageFromArray(scan.transpose(2, 1, 0)),
            seedList=places.tolist(),
            numberOfIterations=_ITERATIONS,
            multiplier=_MULTIPLIER,
            initialNeighborhoodRadius=_RADIUS,
            replaceValue=1,
        )
        reached = sitk.GetArrayFromImage(grown).transpose(2, 1, 0).astype(np.float32)
        probability = reached if click.add else 1 - reached
        return resample(Scan(probability, grid), wanted).array
