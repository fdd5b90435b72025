"""What those who answer clicks are told of the scans."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import Question, guide_of
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import Subset


@pytest.fixture
def segmenter(tmp_path) -> Segmenter:
    regions = tuple(region.name for region in tiny.REGIONS)
    subsets = tuple(Subset((name,), regions) for name in ("FLAIR", "T1"))
    return Segmenter(tiny.bundle(tmp_path, subsets=subsets), device="cpu")


def question_on(result: SegmentationResult) -> Question:
    """About a click in the middle of a result, all of which may change."""
    places = np.array(result.labelmap.shape)[None] // 2
    box = tuple(slice(0, n) for n in result.labelmap.shape)
    distance = np.zeros(result.labelmap.shape, np.float32)
    clicks = (Click("WT", (at(result.labelmap.grid, places[0]),)),)
    return Question(result, result.labelmap, clicks, box, 0.0, places, distance)


def at(grid: Grid, voxel: np.ndarray) -> tuple[float, float, float]:
    return tuple((grid.affine[:3, :3] @ voxel + grid.affine[:3, 3]).tolist())


@pytest.mark.parametrize("given", [("FLAIR",), ("T1",), ("FLAIR", "T1")])
def test_it_is_told_of_the_scans_that_were_given_whichever_are_missing(segmenter, given):
    result = segmenter.segment({name: tiny.scans()[name] for name in given})
    around = guide_of(segmenter).surroundings(question_on(result), None)
    assert len(around.scans) == len(given)
    head = tiny.scans()["FLAIR"].array != 0
    for scan, name in zip(around.scans, given, strict=True):
        assert np.corrcoef(scan[head], tiny.scans()[name].array[head])[0, 1] > 0.5


def test_a_click_in_the_air_from_which_only_the_air_around_the_head_is_seen_is_answered(segmenter):
    """The box around such a click meets a corner of what the model was shown, and no head."""
    affine = np.diag((3.0, 3.0, 3.0, 1.0))
    scans = {
        name: Scan.of(np.pad(scan.array, 12), affine, name) for name, scan in tiny.scans().items()
    }
    result = segmenter.segment(scans)
    correction = Correction(result, 0.5, guide_of(segmenter))
    voxel = np.zeros(3, int)
    correction.answer(Click("WT", (at(result.labelmap.grid, voxel),)))
    assert correction.labelmap.array[tuple(voxel)] == 2
