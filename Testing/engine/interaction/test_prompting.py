"""What a network is asked around a click: windows of its own voxels, and of finer ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.settings import Preprocessing, PromptSettings
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction import prompting
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.protocol.clicks import Click

SHAPE, SPACING = (60, 56, 40), (2.0, 2.0, 2.0)
WHOLE = tuple(slice(0, n) for n in SHAPE)
FOUND = {0.5: 4.0, 1.0: -2.0, 2.0: 1.0}
"""Logits that windows of some zooms answer with where they find something."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A segmenter with three windows, and the empty result that clicks are made on."""
    prompts, spacing = PromptSettings(3.0, zooms=tuple(FOUND)), Preprocessing(spacing=SPACING)
    folder = tmp_path_factory.mktemp("bundle")
    bundle = tiny.bundle_for_clicks(folder, prompts, preprocessing=spacing)
    segmenter = Segmenter(bundle, device="cpu")
    scan = next(iter(tiny.scans(SHAPE).values()))
    return segmenter, segmenter.segment({"Scan": scan})


def answered(
    begun, monkeypatch, side: int, beside: int = 0, coarsely: int = 0
) -> tuple[np.ndarray, list[float]]:
    """What a click is answered with where all windows find a cube, and which windows were asked.

    Windows of fine voxels know nothing beyond the first half of the first axis. There may be
    another cube that was not clicked on, and the window of the coarsest may find more.
    """
    segmenter, result = begun
    zooms: list[float] = []

    def logits_around(_segmenter, _result, _labelmap, _clicks, zoom, wanted, _monitor):
        zooms.append(zoom)
        logits = np.full((1, *wanted.shape), -3.0, np.float32)
        logits[0, 20 : 20 + side, 20 : 20 + side, 10 : 10 + side] = FOUND[zoom] + 3
        if zoom == max(FOUND) and coarsely:
            logits[0, 20 : 20 + coarsely, 20 : 20 + coarsely, 10 : 10 + coarsely] = FOUND[zoom]
        if beside:
            logits[0, -beside:, -beside:, -beside:] = FOUND[zoom] + 3
        if zoom < 1:
            logits[:, SHAPE[0] // 2 :] = np.nan
        return logits

    monkeypatch.setattr(prompting, "_logits_around", logits_around)
    place = result.labelmap.affine @ (22, 22, 12, 1)
    click = Click("lesion", (tuple(place[:3]),), True)
    found = prompting.answer_to_prompts(segmenter, result, result.labelmap, [click], WHOLE, None)
    return found[0], zooms


def test_a_small_lesion_is_looked_at_in_finer_voxels(begun, monkeypatch):
    found, zooms = answered(begun, monkeypatch, side=6)
    assert zooms == [1.0, 2.0, 0.5]
    usual, fine = 1 / (1 + np.exp(-2.5)), 1 / (1 + np.exp(-7.0))
    assert found[20:26, 20:26, 10:16] == pytest.approx(np.full((6, 6, 6), fine))
    found, _ = answered(begun, monkeypatch, side=12)
    assert found[20:30, 20:32, 10:22] == pytest.approx(np.full((10, 12, 12), usual))


def test_a_large_one_is_not(begun, monkeypatch):
    found, zooms = answered(begun, monkeypatch, side=20)
    assert zooms == [1.0, 2.0]
    assert found.max() == pytest.approx(1 / (1 + np.exp(-2.5)))


def test_a_small_one_is_small_beside_a_large_one(begun, monkeypatch):
    _, zooms = answered(begun, monkeypatch, side=6, beside=20)
    assert zooms == [1.0, 2.0, 0.5]


def test_one_that_may_be_large_is_not_taken_for_small(begun, monkeypatch):
    _, zooms = answered(begun, monkeypatch, side=6, coarsely=13)
    assert zooms == [1.0, 2.0]
    _, zooms = answered(begun, monkeypatch, side=6, coarsely=8)
    assert zooms == [1.0, 2.0, 0.5]


def test_scans_of_coarse_voxels_have_nothing_finer_to_show(begun, monkeypatch):
    segmenter, result = begun
    fine = replace(segmenter.bundle, preprocessing=Preprocessing(spacing=(1.0, 1.0, 1.0)))
    monkeypatch.setattr(segmenter, "bundle", fine)
    _, zooms = answered((segmenter, result), monkeypatch, side=6)
    assert zooms == [1.0, 2.0]


def test_beyond_fine_voxels_the_others_answer(begun, monkeypatch):
    found, _ = answered(begun, monkeypatch, side=6)
    assert (found[SHAPE[0] // 2 :] == found[-1, -1, -1]).all() and found.min() > 0


def test_scans_are_kept_as_fine_as_the_finest_window_sees_them(begun, tmp_path):
    segmenter, result = begun
    np.testing.assert_allclose(result.prepared.grid.spacing, np.array(SPACING) / 2)
    assert len(result.prepared.array) == 1  # clicks are drawn into windows only
    maps = tiny.bundle(tmp_path, preprocessing=Preprocessing(spacing=SPACING))
    found = Segmenter(maps, device="cpu").segment(tiny.scans())
    np.testing.assert_allclose(found.prepared.grid.spacing, SPACING)


def test_a_click_is_answered_whichever_windows_there_are(begun):
    segmenter, result = begun
    correction = Correction(result, 0.5, guide_of(segmenter))
    place = result.labelmap.affine @ (30, 28, 20, 1)
    correction.answer(Click("lesion", (tuple(place[:3]),), True))
    assert correction.labelmap.array[30, 28, 20] == 1
