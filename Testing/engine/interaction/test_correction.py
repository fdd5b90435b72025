"""Segmentations that are corrected click by click."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.settings import NetworkSpec, PromptSettings
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.interaction import guides
from factorizer_engine.interaction.correction import Correction, _distance
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.nesting import mask_of

SHAPE = (60, 56, 40)


@pytest.fixture(scope="module", params=[False, True], ids=["maps", "network"])
def corrected(request, tmp_path_factory):
    """A segmenter without and with prompts, and the result of a run."""
    changes, networks = {}, None
    if request.param:
        changes["prompts"] = PromptSettings(3.0)
        changes["network"] = NetworkSpec("Factorizer", tiny.arguments(in_channels=2 + 9))
        networks = [tiny.network(in_channels=2 + 9)]
    folder = tmp_path_factory.mktemp("bundle")
    segmenter = Segmenter(tiny.bundle(folder, networks, **changes), device="cpu")
    return segmenter, segmenter.segment(tiny.scans(SHAPE))


@pytest.fixture
def correction(corrected) -> Correction:
    return begun(corrected)


def begun(corrected, start: Scan | None = None) -> Correction:
    segmenter, result = corrected
    return Correction(result, 0.5, guide_of(segmenter), start)


def at(correction: Correction, voxel) -> tuple[float, float, float]:
    affine = correction.labelmap.affine
    return tuple((affine[:3, :3] @ voxel + affine[:3, 3]).tolist())


def click(correction: Correction, region: str, voxel, add: bool) -> Click:
    return Click(region, (at(correction, voxel),), add)


def mask(correction: Correction, region: str) -> np.ndarray:
    (found,) = (r for r in tiny.REGIONS if r.name == region)
    return mask_of(correction.labelmap.array, found, tiny.REGIONS)


def some_voxel(correction: Correction, region: str, inside: bool, seed: int = 0) -> np.ndarray:
    places = np.argwhere(mask(correction, region) == inside)
    return places[np.random.default_rng(seed).integers(len(places))]


@pytest.mark.parametrize("region", ["ET", "TC", "WT"])
@pytest.mark.parametrize("add", [True, False])
def test_a_click_always_wins_and_changes_only_as_it_says(correction, region, add):
    for seed in range(4):
        before = mask(correction, region)
        voxel = some_voxel(correction, region, not add, seed)
        correction.answer(click(correction, region, voxel, add))
        after = mask(correction, region)
        assert after[tuple(voxel)] == add
        assert ((after != before) <= (after == add)).all()


def test_nothing_changes_far_from_a_click(correction):
    before, voxel = correction.labelmap.array.copy(), some_voxel(correction, "WT", False)
    correction.answer(click(correction, "WT", voxel, True))
    changed = np.argwhere(correction.labelmap.array != before)
    distance = np.linalg.norm((changed - voxel) * correction.labelmap.spacing, axis=1)
    assert len(changed) and distance.max() <= 40.0


def test_earlier_clicks_hold_whatever_comes_later(correction):
    first = click(correction, "WT", some_voxel(correction, "WT", True), False)
    correction.answer(first)
    for offset in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        indices = correction.labelmap.grid.indices_of(np.array(first.points))
        voxel = np.clip(np.rint(indices[0]).astype(int) + offset, 0, np.array(SHAPE) - 1)
        correction.answer(click(correction, "ET", voxel, True))
        assert mask(correction, "ET")[tuple(voxel)]
    where = tuple(np.rint(indices[0]).astype(int))
    assert not mask(correction, "WT")[where]


def test_a_region_that_holds_others_takes_them_along_and_one_inside_leaves_the_others(correction):
    voxel = some_voxel(correction, "ET", True)
    correction.answer(click(correction, "ET", voxel, False))
    assert correction.labelmap.array[tuple(voxel)] == 1  # core, which lies around it
    correction.answer(click(correction, "WT", voxel, False))
    assert correction.labelmap.array[tuple(voxel)] == 0


def test_clicks_are_undone_and_done_again_bit_for_bit(correction):
    clicks = [
        click(correction, "WT", (30, 28, 20), True),
        click(correction, "WT", some_voxel(correction, "WT", True), False),
        click(correction, "ET", (12, 20, 22), True),
    ]
    states = [correction.labelmap.array.copy()]
    for number in range(1, 4):
        correction.become(clicks[:number])
        states.append(correction.labelmap.array.copy())
    for number in (1, 3, 0, 2):
        correction.become(clicks[:number])
        assert correction.clicks == tuple(clicks[:number])
        np.testing.assert_array_equal(correction.labelmap.array, states[number])


def test_the_same_clicks_give_the_same_segmentation(corrected):
    first, second = begun(corrected), begun(corrected)
    clicks = [click(first, "TC", (30, 20, 20), True), click(first, "WT", (25, 25, 12), False)]
    first.become(clicks)
    second.become(clicks)
    np.testing.assert_array_equal(first.labelmap.array, second.labelmap.array)


def test_a_scribble_holds_at_all_its_points(correction):
    voxels = [(20, at_j, 18) for at_j in range(15, 35)]
    correction.answer(Click("TC", tuple(at(correction, np.array(v)) for v in voxels), True))
    assert all(mask(correction, "TC")[v] for v in voxels)


def test_any_segmentation_on_the_grid_can_be_the_start(corrected):
    _, result = corrected
    drawn = np.zeros(SHAPE, dtype=np.int16)
    drawn[10:20, 10:20, 10:20] = 2
    start = Scan.of(drawn, result.labelmap.affine, "My drawing")
    correction = begun(corrected, start)
    np.testing.assert_array_equal(correction.labelmap.array, drawn)
    correction.answer(click(correction, "WT", (15, 15, 15), False))
    assert correction.labelmap.array[15, 15, 15] == 0
    assert drawn[15, 15, 15] == 2  # what the user made is left alone


def test_beyond_the_window_of_a_network_nobody_was_asked_and_nothing_changes(corrected):
    segmenter, result = corrected
    if segmenter.bundle.prompts is None:
        pytest.skip("maps have no window")
    everywhere = Scan.of(np.full(SHAPE, 2, np.uint8), result.labelmap.affine)
    correction = begun(corrected, everywhere)
    voxel = np.array((30, 28, 20))
    correction.answer(click(correction, "WT", voxel, False))
    changed = np.argwhere(correction.labelmap.array == 0)
    assert len(changed) > 0
    spacing = np.array(result.labelmap.spacing) / np.array(result.prepared.grid.spacing)
    half = np.array(segmenter.bundle.inference.roi_size) / 2
    assert (np.abs(changed - voxel) * spacing <= half + 1).all()


def test_only_a_model_without_prompts_says_how_it_answers(corrected, correction):
    segmenter, _ = corrected
    said = "Tiny test model has not learned from clicks" in correction.note
    assert said == (segmenter.bundle.prompts is None)


@pytest.mark.parametrize(
    ("clicks", "sentence"),
    [
        ([("WT", (70, 4, 4), True)], r"adds to WT at .* lies outside the scan, which covers R"),
        ([("WT", (4, 4, -3), False)], r"removes from WT at .* lies outside the scan"),
        ([("NCR", (4, 4, 4), True)], "does not look for in these scans; choose ET, TC or WT"),
        ([("WT", (9, 9, 9), True), ("WT", (9, 9, 9), False)], "contradicts an earlier one"),
        ([("WT", (9, 9, 9), False), ("ET", (9, 9, 9), True)], "which removes from WT; take that"),
    ],
)
def test_bad_clicks_are_refused_in_a_sentence_and_leave_all_as_it_was(correction, clicks, sentence):
    *good, bad = [click(correction, region, np.array(v), add) for region, v, add in clicks]
    correction.become(good)
    before = correction.labelmap.array.copy()
    with pytest.raises(BadInputError, match=sentence):
        correction.answer(bad)
    np.testing.assert_array_equal(correction.labelmap.array, before)
    assert correction.clicks == tuple(good)


@pytest.mark.parametrize(
    ("add", "network", "regression", "floods"),
    [
        (True, 4, 20, True),
        (True, 8, 20, False),
        (True, 2, 12, False),
        (False, 4, 20, False),
    ],
)
def test_a_click_that_would_add_far_more_than_the_network_does_is_a_flood(
    add, network, regression, floods
):
    own, answered = np.full((2, 24, 24, 24), 0.1, np.float32)
    own[:network, :network, :network] = answered[:regression, :regression, :regression] = 0.9
    question = SimpleNamespace(
        click=Click("WT", ((0.0, 0.0, 0.0),), add),
        mask=np.zeros(own.shape, bool),
        labelmap=Scan(own, Grid(own.shape, np.eye(4))),
        threshold=0.0,
    )
    assert guides.NetworkGuide._floods(question, own, answered) == floods


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("slices", [1, 3, 60])
@pytest.mark.parametrize("beyond", [0, 9])
def test_distances_to_a_scribble_are_exact_in_and_out_of_the_block(count, slices, beyond):
    generator, shape, spacing = np.random.default_rng(count), (40, 30, 60), (0.7, 1.0, 2.5)
    high = [40 + beyond, 30 + beyond, slices]
    places = generator.integers([-beyond, -beyond, 0], high, (count, 3))
    offsets = np.indices(shape).reshape(3, -1).T[:, None] - places
    exact = np.linalg.norm(offsets * spacing, axis=2).min(axis=1).reshape(shape)
    np.testing.assert_allclose(_distance(places, shape, spacing), exact, atol=1e-4)


def test_clicks_that_agree_are_welcome_twice(correction):
    voxel = np.array((9, 9, 9))
    for region in ("WT", "ET", "WT", "ET"):
        correction.answer(click(correction, region, voxel, True))
    assert correction.labelmap.array[9, 9, 9] == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: Scan.of(s.array[1:], s.affine, "Old"), "Old to start from lies on another grid"),
        (lambda s: Scan.of(s.array, s.affine + np.eye(4)[:, [3, 3, 3, 0]], "Old"), "another grid"),
        (lambda s: Scan.of(s.array + 3, s.affine), "value 3, which .* it gives 1, 2, 4"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(corrected, change, sentence):
    _, result = corrected
    with pytest.raises(BadInputError, match=sentence):
        begun(corrected, change(replace(result.labelmap)))


def test_a_click_without_a_place_is_refused():
    for points in ((), ((float("nan"), 0.0, 0.0),)):
        with pytest.raises(BadInputError, match="has no place"):
            Click("WT", points)


def test_a_zoom_answers_further_from_the_click(corrected):
    segmenter, result = corrected
    if segmenter.bundle.prompts is None:
        pytest.skip("maps have no window")
    bundle = segmenter.bundle
    reached = []
    for zooms in ((1.0,), (2.0,), (1.0, 2.0)):
        segmenter.bundle = replace(bundle, prompts=replace(bundle.prompts, zooms=zooms))
        empty = Scan.of(np.full(SHAPE, 2, np.uint8), result.labelmap.affine)
        correction = begun(corrected, empty)
        voxel = np.array((30, 28, 20))
        correction.answer(click(correction, "WT", voxel, False))
        changed = np.argwhere(correction.labelmap.array == 0)
        assert correction.labelmap.array[tuple(voxel)] == 0
        reached.append(np.abs(changed - voxel).max())
    segmenter.bundle = bundle
    assert reached[0] < max(reached[1:])


@pytest.mark.parametrize(
    "settings", [{"zooms": ()}, {"zooms": (0.5,)}, {"zooms": (0.1, 1.0)}, {"margin": -1.0}]
)
def test_answers_that_make_no_sense_are_refused(tmp_path, settings):
    with pytest.raises(BadModelError, match="answers clicks with zooms of"):
        tiny.bundle_for_clicks(tmp_path, prompts=PromptSettings(3.0, **settings))


def test_what_looks_like_the_click_counts_beside_the_network_if_it_is_not_small(
    corrected, monkeypatch
):
    segmenter, _result = corrected
    bundle = segmenter.bundle
    if bundle.prompts is None:
        pytest.skip("maps say nothing of clicks")
    nothing = Scan.of(np.zeros(SHAPE, np.uint8), begun(corrected).labelmap.affine)
    voxel = np.array((30, 28, 20))
    monkeypatch.setattr(guides, "NETWORK_ADDS", {"constant": 5.0})  # all around goes with it
    monkeypatch.setattr(guides, "_FLOOD", 1e9)

    def answered(likeness: bool, small_ml: float) -> np.ndarray:
        monkeypatch.setattr(guides, "SMALL_ML", small_ml)
        segmenter.bundle = replace(bundle, prompts=replace(bundle.prompts, likeness=likeness))
        correction = begun(corrected, nothing)
        correction.answer(click(correction, "WT", voxel, True))
        found = mask(correction, "WT")
        correction.undo()
        assert not correction.labelmap.array.any()
        return found

    alone, with_scans, small = answered(False, 0), answered(True, 0), answered(True, 1e9)
    segmenter.bundle = bundle
    assert alone[tuple(voxel)] and with_scans.sum() > alone.sum()
    np.testing.assert_array_equal(small, alone)
