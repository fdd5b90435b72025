"""Clicks on scans of fine voxels, which are answered for some of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction import thinning
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import Question
from factorizer_engine.interaction.thinning import steps_for
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.progress import Monitor

SHAPE = (60, 56, 40)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    segmenter = Segmenter(tiny.bundle(tmp_path_factory.mktemp("bundle")), device="cpu")
    return segmenter, segmenter.segment(tiny.scans(SHAPE))


@dataclass
class Ball:
    """Says that a ball in the world is the lesion, and keeps what it was asked."""

    center: np.ndarray
    radius: float
    settings: LocalThreshold = LocalThreshold(margin=0.0)
    note: str = ""
    asked: list[Question] = field(default_factory=list)

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        self.asked.append(question)
        grid = question.labelmap.grid.crop(question.box)
        indices = np.indices(grid.shape).reshape(3, -1).T
        world = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        away = np.linalg.norm(world - self.center, axis=1).reshape(grid.shape)
        return (1 / (1 + np.exp(away - self.radius))).astype(np.float32)


def clicked(corrected, guide, voxels) -> np.ndarray:
    """Where the whole tumour holds after a click on nothing."""
    _, result = corrected
    empty = result.labelmap.with_array(np.zeros(SHAPE, np.uint8))
    affine = empty.affine
    correction = Correction(result, 0.5, guide, empty)
    points = np.asarray(voxels) @ affine[:3, :3].T + affine[:3, 3]
    correction.answer(Click("WT", tuple(map(tuple, points.tolist())), True))
    return correction.labelmap.array > 0


def ball_at(corrected, voxel, radius: float) -> Ball:
    affine = corrected[1].labelmap.affine
    return Ball(affine[:3, :3] @ voxel + affine[:3, 3], radius)


@pytest.mark.parametrize(
    ("shape", "spacing", "steps"),
    [
        ((81, 81, 81), (1.0, 1.0, 1.0), (1, 1, 1)),
        ((161, 161, 161), (0.5, 0.5, 0.5), (2, 2, 2)),
        ((161, 161, 17), (0.5, 0.5, 5.0), (1, 1, 1)),
        ((161, 161, 81), (0.5, 0.5, 1.0), (2, 2, 1)),
    ],
)
def test_only_blocks_of_many_voxels_are_thinned_along_their_finest_axes(shape, spacing, steps):
    assert steps_for(shape, spacing) == steps


@pytest.mark.parametrize("most", [8_000, 30_000])
@pytest.mark.parametrize("voxel", [(31, 27, 19), (58, 55, 1)])
def test_an_answer_for_some_voxels_is_interpolated_where_they_lie(
    corrected, monkeypatch, most, voxel
):
    guide = ball_at(corrected, voxel, 12.0)
    whole = clicked(corrected, guide, [voxel])
    monkeypatch.setattr(thinning, "_MOST_VOXELS", most)
    thin = clicked(corrected, guide, [voxel])
    assert np.prod([axis.stop - axis.start for axis in guide.asked[-1].box]) <= most
    assert thin[voxel] and 2 * (thin & whole).sum() / (thin.sum() + whole.sum()) > 0.9


def test_the_clicked_voxel_itself_is_asked_about(corrected, monkeypatch):
    monkeypatch.setattr(thinning, "_MOST_VOXELS", 2_000)
    guide = ball_at(corrected, (31, 27, 19), 7.0)
    clicked(corrected, guide, [(31, 27, 19)])
    asked = guide.asked[-1]
    assert asked.distance[tuple(asked.places[0])] == 0
    assert asked.distance.shape == tuple(axis.stop - axis.start for axis in asked.box)


def test_a_scribble_holds_at_all_points_though_only_some_are_asked_about(corrected, monkeypatch):
    monkeypatch.setattr(thinning, "_MOST_VOXELS", 2_000)
    voxels = [(20 + n, 27 + n // 2, 19) for n in range(20)]
    after = clicked(corrected, ball_at(corrected, (50, 50, 30), 2.0), voxels)
    assert after[tuple(np.transpose(voxels))].all()


def test_maps_and_scans_are_those_of_the_voxels_that_are_asked_about(corrected, monkeypatch):
    voxel, (_, result) = (31, 27, 19), corrected
    monkeypatch.setattr(thinning, "_MOST_VOXELS", 8_000)
    guide = ball_at(corrected, voxel, 7.0)
    clicked(corrected, guide, [voxel])
    asked = guide.asked[-1]
    place = tuple(asked.places[0])
    assert asked.probabilities[place] == result.probabilities[(asked.region, *voxel)]
    assert asked.mask_in(asked.result.labelmap)[place] == (result.labelmap.array[voxel] > 0)
    prepared = asked.result.prepared
    part = prepared.grid.crop(prepared.needed_for(asked.box))
    middle = part.indices_of(guide.center[None])[0]
    assert ((middle > -1) & (middle < part.shape)).all()
