"""Slices lie in pictures as radiologists look at them, however voxels are ordered."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.reports.slices import A, R, S, axis_of, slice_through

LPS = Grid((6, 7, 8), np.diag([-2.0, -3.0, 4.0, 1.0]))
CENTRE = tuple((LPS.affine @ [2, 3, 4, 1])[:3].tolist())
CORNERS = {
    S: ((1, 1), (R, A)),  # of the upper left corner: signs along two world axes
    A: ((1, 1), (R, S)),
    R: ((1, 1), (A, S)),
}
ORDERS = [
    "".join(letters[axis] for axis in order)
    for letters in product("RL", "AP", "SI")
    for order in permutations(range(3))
]


def bright_corner(world: int) -> Scan:
    """A volume that is bright where the upper left corner of every such slice should be."""
    voxels = np.zeros(LPS.shape, np.float32)
    places = np.argwhere(np.ones(LPS.shape)) @ LPS.affine[:3, :3].T + LPS.affine[:3, 3]
    middle = LPS.corners().mean(axis=0)
    signs, axes = CORNERS[world]
    inside = np.ones(len(places), bool)
    for sign, axis in zip(signs, axes, strict=True):
        inside &= sign * (places[:, axis] - middle[axis]) > 0.1
    voxels[inside.reshape(LPS.shape)] = 1
    return Scan(voxels, LPS)


@pytest.mark.parametrize("order", ORDERS[::5])
@pytest.mark.parametrize("world", [R, A, S])
def test_the_upper_left_corner_is_where_it_should_be(order, world):
    scan = bright_corner(world)
    grid = scan.grid.oriented(order)
    turned = resample(scan, grid, "nearest")
    view = slice_through(grid, axis_of(grid, world), CENTRE)
    picture = view.picture(turned.array)
    rows, columns = picture.shape
    assert picture[: rows // 2, : columns // 2].all()
    assert not picture[(rows + 1) // 2 + 1 :].any()
    assert not picture[:, (columns + 1) // 2 + 1 :].any()
    np.testing.assert_allclose(view.size, (columns * view.pixel[0], rows * view.pixel[1]))

    bright = np.argwhere(view.picture(turned.array))[0]
    (point,) = view.place(np.array([CENTRE]))
    assert (0 < point).all() and (point < view.size).all()
    assert bright.tolist() == [0, 0]


def test_letters_name_the_sides_and_the_place_is_told():
    assert slice_through(LPS, axis_of(LPS, S), CENTRE).letters == ("R", "L", "A", "P")
    assert slice_through(LPS, axis_of(LPS, A), CENTRE).letters == ("R", "L", "S", "I")
    assert slice_through(LPS, axis_of(LPS, R), CENTRE).letters == ("A", "P", "S", "I")
    view = slice_through(LPS, 2, CENTRE)
    assert (view.plane, view.position) == ("Axial", "S 16.0 mm")
    assert slice_through(LPS, 0, CENTRE).position == "L 4.0 mm"
    assert slice_through(LPS, 2, (0.0, 0.0, 1e4)).index == 7


def test_points_are_placed_where_their_voxels_are_drawn():
    grid = LPS.oriented("AIR")
    for world in (R, A, S):
        view = slice_through(grid, axis_of(grid, world), CENTRE)
        voxels = np.zeros(grid.shape)
        index = np.rint(grid.indices_of(np.array([CENTRE]))[0]).astype(int)
        voxels[tuple(index)] = 1
        ((row, column),) = np.argwhere(view.picture(voxels))
        (place,) = view.place(np.array([CENTRE]))
        expected = (np.array([column, row]) + 0.5) * view.pixel
        np.testing.assert_allclose(place, expected, atol=1e-6)
