"""The simulated user clicks what is most wrong."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.interaction.users import next_stroke, rough_copy

SPACING = (1.0, 1.0, 2.0)


@pytest.fixture
def truth() -> np.ndarray:
    mask = np.zeros((40, 40, 20), dtype=bool)
    mask[5:20, 5:20, 5:15] = True
    return mask


def test_nothing_is_clicked_where_nothing_is_wrong(truth):
    assert next_stroke(truth, truth, 0, SPACING) is None


def test_the_largest_error_is_clicked_where_it_is_deepest(truth):
    mask = truth.copy()
    mask[30:33, 30:33, 3:6] = True  # superfluous, smaller
    mask[5:14, 5:20, 5:15] = False  # missing, larger
    stroke = next_stroke(mask, truth, 2, SPACING)
    assert stroke is not None and stroke.add and stroke.region == 2
    (point,) = stroke.points
    assert point[0] == 9  # in the middle of 5 to 13
    assert 9 <= point[1] <= 15 and 7 <= point[2] <= 12


def test_superfluous_voxels_are_removed(truth):
    mask = truth.copy()
    mask[25:35, 25:35, 5:15] = True
    stroke = next_stroke(mask, truth, 0, SPACING)
    assert stroke is not None and not stroke.add


def test_touching_errors_of_both_kinds_are_clicked_as_what_lies_there(truth):
    mask = np.roll(truth, 4, axis=0)
    for seed in range(8):
        stroke = next_stroke(mask, truth, 0, SPACING, np.random.default_rng(seed), scribble=1.0)
        assert stroke is not None
        where = tuple(stroke.points.astype(int).T)
        assert (truth[where] == stroke.add).all() and (mask[where] != stroke.add).all()


def test_with_chance_users_click_in_the_inner_half_of_an_error(truth):
    places = set()
    for seed in range(20):
        stroke = next_stroke(np.zeros_like(truth), truth, 0, SPACING, np.random.default_rng(seed))
        assert stroke is not None
        places.add(tuple(stroke.points[0]))
        assert ((stroke.points >= [7, 7, 6]) & (stroke.points <= [17, 17, 13])).all()
    assert len(places) > 10


def test_a_scribble_stays_inside_the_error_and_begins_at_its_place(truth):
    truth[10:15, 10:15] = False  # a ring
    for seed in range(10):
        generator = np.random.default_rng(seed)
        stroke = next_stroke(np.zeros_like(truth), truth, 0, SPACING, generator, scribble=1.0)
        assert stroke is not None
        assert truth[tuple(stroke.points.astype(int).T)].all()


def test_rough_copies_differ_from_the_truth_and_from_each_other(truth):
    copies = [rough_copy(truth, SPACING, np.random.default_rng(seed)) for seed in range(6)]
    dice = [2 * (c & truth).sum() / (c.sum() + truth.sum()) for c in copies]
    assert min(dice) < 0.8
    assert len({c.sum() for c in copies}) >= 5


def test_a_rough_copy_of_nothing_is_nothing(truth):
    assert not rough_copy(np.zeros_like(truth), SPACING, np.random.default_rng(0)).any()
