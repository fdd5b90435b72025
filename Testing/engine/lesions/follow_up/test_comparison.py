"""Lesions are found again, and what became of them is told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.lesions.follow_up.studies import LABELS, ball, measured, moved, study
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.enhancement import enhances
from factorizer_engine.lesions.follow_up.comparison import MeasuredStudy, compare_studies
from factorizer_engine.lesions.follow_up.response import response, time_point
from factorizer_engine.lesions.measuring import lesion_numbers
from factorizer_engine.protocol.follow_up import (
    COMPLETE,
    GONE,
    GROWN,
    NEW,
    PARTIAL,
    PROGRESSION,
    SHRUNK,
    STABLE,
    UNCHANGED,
    LesionChange,
    TimePoint,
    count_kinds,
)

PLACES = {"grown": (15, 15, 20), "shrunk": (15, 60, 20), "stable": (60, 15, 20)}


def before():
    return study(
        "before",
        (1, ball(PLACES["grown"], 6)),
        (1, ball(PLACES["shrunk"], 10)),
        (2, ball(PLACES["stable"], 8)),
        (2, ball((60, 60, 20), 5)),
    )


def after():
    return study(
        "after",
        (1, ball(PLACES["grown"], 9)),
        (1, ball(PLACES["shrunk"], 6)),
        (2, ball(PLACES["stable"], 8.4)),
        (1, ball((40, 40, 60), 7)),
    )


def by_place(changes, matrix=None) -> dict[str, LesionChange]:
    """The changes by where they are, in mm of the array."""
    matrix = np.eye(4) if matrix is None else matrix
    found = {}
    for change in changes:
        point = (np.linalg.inv(matrix) @ [*change.point, 1])[:3] * [-1, -1, 1]
        name = min(PLACES, key=lambda name: np.linalg.norm(point - PLACES[name]))
        near = np.linalg.norm(point - PLACES[name]) < 5
        found[name if near else f"{point.round().astype(int).tolist()}"] = change
    return found


def test_every_lesion_is_new_grown_stable_shrunk_or_gone():
    comparison = compare_studies([before(), after()], np.eye(4))
    found = by_place(comparison.changes)
    assert {name: found[name].kind for name in PLACES} == {
        "grown": GROWN,
        "shrunk": SHRUNK,
        "stable": STABLE,
    }
    assert count_kinds(comparison.changes) == {NEW: 1, GROWN: 1, STABLE: 1, SHRUNK: 1, GONE: 1}
    grown = found["grown"]
    assert grown.before_ml == pytest.approx(ball(PLACES["grown"], 6).sum() * 0.002)
    assert grown.change_ml == pytest.approx(grown.after_ml - grown.before_ml)
    assert grown.change_percent == pytest.approx(100 * (grown.after_ml / grown.before_ml - 1))
    assert grown.parts_after == {"Enhancing tumour": pytest.approx(grown.after_ml)}
    new = next(change for change in comparison.changes if change.kind == NEW)
    assert math.isnan(new.change_percent) and new.before == ()


def test_lesions_are_found_again_in_another_world():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
    matrix[:3, 3] = [30, -12, 7]
    comparison = compare_studies([moved(before(), np.linalg.inv(matrix)), after()], matrix)
    assert count_kinds(comparison.changes) == {NEW: 1, GROWN: 1, STABLE: 1, SHRUNK: 1, GONE: 1}
    gone = next(change for change in comparison.changes if change.kind == GONE)
    np.testing.assert_allclose(gone.point, [-60, -60, 20], atol=1.5)


def test_lesions_that_merge_or_are_split_are_one_change():
    apart = study("a", (1, ball((20, 30, 30), 6)), (1, ball((36, 30, 30), 6)))
    together = study(
        "b", (1, ball((20, 30, 30), 6) | ball((36, 30, 30), 6) | ball((28, 30, 30), 6))
    )
    (merged,) = compare_studies([apart, together], np.eye(4)).changes
    assert (merged.before, merged.after) == ((1, 2), (1,))
    (split,) = compare_studies([together, apart], np.eye(4)).changes
    assert (split.before, split.after) == ((1,), (1, 2))
    assert split.before_ml == pytest.approx(merged.after_ml)


def test_small_lesions_that_a_registration_just_misses_are_the_same():
    first = study("a", (1, ball((20, 20, 20), 1)), (1, ball((50, 50, 20), 1)))
    second = study("b", (1, ball((20, 24, 20), 1)), (1, ball((50, 60, 20), 1)))
    kinds = count_kinds(compare_studies([first, second], np.eye(4)).changes)
    assert kinds == {NEW: 1, GROWN: 0, STABLE: 1, SHRUNK: 0, GONE: 1}


def test_studies_without_lesions_are_compared_too():
    empty, full = study("a"), after()
    assert compare_studies([empty, empty], np.eye(4)).changes == ()
    assert {change.kind for change in compare_studies([empty, full], np.eye(4)).changes} == {NEW}
    assert {change.kind for change in compare_studies([full, empty], np.eye(4)).changes} == {GONE}


def test_the_numbers_of_voxels_are_those_of_the_lesions():
    item = before()
    numbers = lesion_numbers(item.labelmap, LABELS, [lesion.id for lesion in item.lesions])
    for lesion in item.lesions:
        count = (numbers.array == lesion.id).sum()
        assert count * 0.002 == pytest.approx(lesion.volume_ml)


def test_the_sum_of_products_is_that_of_the_measurable_enhancing_lesions():
    item = before()
    point = time_point("x", item.lesions, LABELS)
    enhancing = [part for lesion in item.lesions for part in lesion.parts if part.label == 1]
    assert point.measurable == 2
    assert point.enhancing_mm2 == pytest.approx(sum(part.product_mm2 for part in enhancing))
    assert point.total_ml == pytest.approx(sum(lesion.volume_ml for lesion in item.lesions))

    small = study("small", (1, ball((20, 20, 20), 4)))
    assert time_point("x", small.lesions, LABELS).enhancing_mm2 == 0
    oedema = time_point("x", item.lesions, LABELS[1:])
    assert math.isnan(oedema.enhancing_mm2)


def points(*sums: float) -> list[TimePoint]:
    return [TimePoint(str(i), 1, {"A": 1.0}, value, 1) for i, value in enumerate(sums)]


@pytest.mark.parametrize(
    ("sums", "new", "left", "category"),
    [
        ((400, 505), False, True, PROGRESSION),
        ((400, 495), False, True, UNCHANGED),
        ((400, 210), False, True, UNCHANGED),
        ((400, 200), False, True, PARTIAL),
        ((400, 0), False, True, PARTIAL),
        ((400, 0), False, False, COMPLETE),
        ((400, 100), True, True, PROGRESSION),
        ((400, 150, 190), False, True, PROGRESSION),  # over the smallest, though below the first
        ((400, 150, 180), False, True, PARTIAL),
        ((0, 0), False, True, ""),
        ((0, 300), True, True, PROGRESSION),
        ((math.nan, math.nan), False, True, ""),
    ],
)
def test_the_category_follows_from_the_sums(sums, new, left, category):
    found = response(points(*sums), new, left)
    assert found.category == category
    assert found.reason.endswith(".")


def test_what_enhances_is_told_by_code_and_by_name():
    assert enhances("Enhancing tumour") and enhances("ET", "~NCIt^C113842^Enhancing Lesion~")
    assert not enhances("Necrotic and non-enhancing core") and not enhances("Oedema")


def test_a_new_measurable_lesion_is_progression():
    comparison = compare_studies([before(), after()], np.eye(4))
    assert comparison.response.category == PROGRESSION
    assert "new measurable" in comparison.response.reason
    small = study("c", (1, ball(PLACES["shrunk"], 10)), (1, ball((40, 40, 60), 3)))
    first = study("b", (1, ball(PLACES["shrunk"], 10)))
    assert compare_studies([first, small], np.eye(4)).response.category == UNCHANGED
    assert len(compare_studies([replace(first, name="0"), first, small], np.eye(4)).points) == 3


def test_what_comes_back_after_it_was_gone_is_told_without_a_percentage():
    found = response(points(400, 0, 190), False, True)
    assert found.category == PROGRESSION
    assert found.reason.endswith("went from 400 to 190 mm², with 0 mm² as the smallest.")


@pytest.mark.parametrize("voxels", [10, 20, 30, 40, 50, 140, 230])
@pytest.mark.parametrize("edge", [0.5, 0.9, 1.0])
def test_a_change_of_just_30_percent_is_growth_or_shrinkage_whatever_its_volume(voxels, edge):
    def lesion(count: int) -> MeasuredStudy:
        labelmap = np.zeros((400, 1, 1), np.uint8)
        labelmap[:count] = 1
        scan = Scan.of(labelmap, np.diag([edge, edge, edge, 1.0]))
        return measured(str(count), scan, scan)

    for after, kind in ((voxels * 13 // 10, GROWN), (voxels * 7 // 10, SHRUNK)):
        (change,) = compare_studies([lesion(voxels), lesion(after)], np.eye(4)).changes
        assert change.kind == kind


@pytest.mark.parametrize(
    ("after", "kind", "told"),
    [
        (1.296, STABLE, "+29.6"),
        (1.2999, STABLE, "+29.9"),
        (0.704, STABLE, "-29.6"),
        (1.3, GROWN, "+30"),
        (0.997, STABLE, "-0.30"),
        (1.0, STABLE, "+0"),
    ],
)
def test_what_is_told_in_percent_does_not_contradict_the_kind(after, kind, told):
    change = LesionChange(kind, (1,), (1,), 1.0, after, (0.0, 0.0, 0.0), (), {}, {})
    assert change.percent_told == told


def test_an_axis_of_just_10_mm_is_measurable_however_the_head_lies():
    rng = np.random.default_rng(0)
    diamond = np.abs(np.indices((5, 5)) - 2).sum(axis=0) <= 2
    for _ in range(40):
        affine = np.eye(4)
        turned = Rotation.from_euler("zyx", rng.uniform(-20, 20, 3), degrees=True)
        affine[:3, :3] = 2 * turned.as_matrix()
        affine[:3, 3] = rng.uniform(-100, 100, 3)
        scan = Scan.of(diamond[..., None].astype(np.uint8), affine)
        item = measured("now", scan, scan)
        assert item.lesions[0].short_axis.length_mm == pytest.approx(10.0)
        assert time_point("now", item.lesions, LABELS).measurable == 1
