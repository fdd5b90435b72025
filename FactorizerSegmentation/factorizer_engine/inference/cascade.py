"""A second look, with finer voxels, at what a coarser model found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.settings import CascadeSettings
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.inference.chosen import Chosen
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.inference.study import Study, only
from factorizer_engine.inference.windows import Box
from factorizer_engine.protocol.triples import triple


def around_findings(
    probabilities: np.ndarray, spacing: Sequence[float], settings: CascadeSettings
) -> Box:
    """The part of a scan that is looked at again.

    Args:
        probabilities: The coarser model's maps, (R, I, J, K).
        spacing: Voxel size in mm.
        settings: What counts as found, and how far around it.

    Returns:
        The block of voxels around all findings; around the likeliest voxel if there are none.
    """
    least = min(settings.threshold, float(probabilities.max()))
    box = foreground_box([region >= least for region in probabilities], margin=0)
    assert box is not None  # the largest probability is found
    margins = [int(np.ceil(settings.margin_mm / size)) for size in spacing]
    return triple(
        slice(max(axis.start - margin, 0), min(axis.stop + margin, count))
        for axis, margin, count in zip(box, margins, probabilities.shape[1:], strict=True)
    )


def joined(
    coarse: np.ndarray,
    fine: np.ndarray,
    part: Box,
    spacing: Sequence[float],
    settings: CascadeSettings,
) -> np.ndarray:
    """Probabilities of both stages: near findings from the mean of their logits, else the coarse.

    Where nothing is found in the part, it is near its likeliest voxel: the part may be around what
    was found of a region that is not among these.

    Args:
        coarse: float32, (R, I, J, K); changed in place and returned.
        fine: Likewise, kept; only its voxels in `part` count.
        part: The block that was looked at again, see `around_findings`.
        spacing: Voxel size in mm.
        settings: What counts as found, how far around it, and the share of the finer stage.
    """
    block = coarse[in_all_channels(part)]
    least = min(settings.threshold, float(block.max()))
    away = ndimage.distance_transform_edt(block.max(axis=0) < least, sampling=spacing)
    near = away <= settings.margin_mm
    coarse_says, fine_says = logit(block[:, near]), logit(fine[in_all_channels(part)][:, near])
    mean = (1 - settings.share) * coarse_says + settings.share * fine_says
    block[:, near] = 1 / (1 + np.exp(-mean))
    return coarse


@dataclass(frozen=True, eq=False)
class FirstStage:
    """What the coarser stage of a cascade found, and how the finer one goes on from there."""

    result: SegmentationResult
    settings: CascadeSettings

    @classmethod
    def of(cls, bundle: Bundle, result: SegmentationResult) -> FirstStage:
        """What the first stage of a cascade found."""
        settings = bundle.cascade_given(result.given)
        assert settings is not None  # there is a first stage
        return cls(result, settings)

    def to_look_again(self, study: Study) -> Chosen:
        """What the finer stage looks at, of what the user chose."""
        spacing = study.prepared.reference.spacing
        part = around_findings(self.result.probabilities, spacing, self.settings)
        return study.chosen.within(part, study.prepared)

    def join(self, fine: np.ndarray, study: Study, looked_at: Chosen) -> np.ndarray:
        """`joined` for the regions of the study, of which the coarser stage may have more."""
        part = looked_at.in_reference
        assert part is not None  # it is what `to_look_again` said
        numbers = {region.name: number for number, region in enumerate(self.result.model.regions)}
        coarse = only(
            self.result.probabilities, [numbers[region.name] for region in study.model.regions]
        )
        return joined(coarse, fine, part, study.prepared.reference.spacing, self.settings)
