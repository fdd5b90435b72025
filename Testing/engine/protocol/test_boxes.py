"""Boxes in the world: which voxels lie in them, whatever way box and scan are turned."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import ProtocolError

SHAPE = (7, 9, 8)
AFFINE = np.array(
    [[-2.0, 0.0, 0.0, 5.0], [0.0, 0.1, 1.5, -4.0], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
)


def world_of(affine: np.ndarray) -> np.ndarray:
    """World position of every voxel, (*SHAPE, 3)."""
    indices = np.stack(np.indices(SHAPE), axis=-1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def mask_of(box: WorldBox) -> np.ndarray:
    part = box.part_of(SHAPE, AFFINE)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[part] = box.mask(part, AFFINE)
    return mask


def test_a_box_along_the_axes_holds_the_voxels_between_its_bounds():
    low, high = np.array([-4.0, -1.0, 4.0]), np.array([2.0, 5.0, 9.5])

    mask = mask_of(WorldBox.of_bounds([-4, 2, -1, 5, 4, 9.5]))

    world = world_of(AFFINE)
    expected = ((world >= low - 1e-4) & (world <= high + 1e-4)).all(axis=-1)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(mask, expected)


def test_a_turned_box_holds_what_lies_within_its_half_edges():
    angle = np.radians(30)
    turned = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    halves, center = np.array([5.0, 2.0, 3.3]), np.array([-1.0, 1.0, 7.0])

    mask = mask_of(WorldBox.of_matrix(turned * halves, center))

    along = (world_of(AFFINE) - center) @ turned
    expected = (np.abs(along) <= halves + 1e-5).all(axis=-1)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(mask, expected)


def test_a_box_far_away_holds_nothing():
    part = WorldBox.of_bounds([100, 110, 0, 5, 4, 9]).part_of(SHAPE, AFFINE)

    assert any(axis.start == axis.stop for axis in part)


def test_a_box_between_voxel_centres_holds_nothing():
    assert not mask_of(WorldBox.of_bounds([3.2, 4.8, -10, 10, 0, 20])).any()


def test_a_box_survives_the_journey():
    box = WorldBox.of_bounds([-4, 2, -1, 5, 4, 9.5])

    assert WorldBox.from_dict(box.to_dict()) == box


@pytest.mark.parametrize(
    "bounds", [(2, -4, 0, 1, 0, 1), (0, 1, 3, 3, 0, 1), (0, 1, 0, 1, float("nan"), 1)]
)
def test_bounds_in_the_wrong_order_are_refused(bounds):
    with pytest.raises(BadInputError, match="smaller number first"):
        WorldBox.of_bounds(bounds)


def test_a_flat_box_is_refused():
    with pytest.raises(BadInputError, match="no volume"):
        WorldBox((0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.0)))


def test_a_box_without_three_edges_is_refused():
    with pytest.raises((BadInputError, ProtocolError)):
        WorldBox((0.0, 0.0, 0.0), ((1.0, 0.0, 0.0),))
