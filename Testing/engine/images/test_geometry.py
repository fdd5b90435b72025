"""Grids in physical space: properties that hold for any affine."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from engine.images.grids import random_affine, world
from factorizer_engine.images.geometry import Grid, overlap_fraction

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_respaced_grid_covers_the_same_box_with_voxels_of_the_wanted_size(seed):
    rng = np.random.default_rng(seed)
    grid = Grid((20, 25, 30), random_affine(rng))
    wanted = tuple(rng.uniform(0.7, 4, 3))
    result = grid.respaced(wanted)
    np.testing.assert_allclose(result.spacing, wanted, rtol=1e-3)
    np.testing.assert_allclose(
        result.corners().mean(axis=0), grid.corners().mean(axis=0), atol=1e-9
    )
    extent, old = np.multiply(result.shape, result.spacing), np.multiply(grid.shape, grid.spacing)
    assert (extent >= old - 0.01).all() and (extent < old + np.asarray(wanted)).all()


def test_an_axis_of_the_wanted_size_is_left_as_it_is():
    grid = Grid((20, 25, 30), np.diag([1.0004, 2.0, 1.0, 1.0]))
    result = grid.respaced((1.0, 1.0, 1.0))
    assert result.shape == (20, 50, 30)
    np.testing.assert_array_equal(result.affine[:, 0], grid.affine[:, 0])


@pytest.mark.parametrize("seed", SEEDS)
def test_orienting_changes_the_order_of_voxels_but_not_their_place(seed):
    rng = np.random.default_rng(seed)
    grid = Grid((5, 6, 7), random_affine(rng))
    result = grid.oriented("LPS")
    assert result.orientation == "LPS"
    here = {tuple(p) for p in np.round(world(grid).reshape(-1, 3), 6) + 0.0}
    there = {tuple(p) for p in np.round(world(result).reshape(-1, 3), 6) + 0.0}
    assert len(here & there) > 0.99 * len(here)


def test_straightening_leaves_rectangular_grids_and_covers_sheared_ones():
    rng = np.random.default_rng(5)
    grid = Grid((10, 12, 14), random_affine(rng))
    assert grid.straightened() is grid
    sheared = Grid((10, 12, 14), random_affine(rng, shear=0.4))
    straight = sheared.straightened()
    indices = straight.indices_of(sheared.corners())
    assert (indices >= -0.51).all() and (indices <= np.asarray(straight.shape) - 0.49).all()


def test_where_a_grid_lies_is_told_in_whole_millimetres():
    affine = nib.affines.from_matvec(np.diag([-2.0, 1.0, 1.0]), [30.0, -4.2, 0.1])
    assert Grid((16, 10, 8), affine).extent == "R -1 to 31, A -5 to 5, S 0 to 8 mm"


def test_overlap_is_the_part_of_the_reference_that_is_covered():
    grid = Grid((10, 10, 10), np.eye(4))
    for shift, part in ((0, 1.0), (5, 0.5), (9, 0.1), (11, 0.0)):
        other = Grid((10, 10, 10), nib.affines.from_matvec(np.eye(3), [shift, 0, 0]))
        assert overlap_fraction(grid, other) == pytest.approx(part, abs=0.05)
    large = Grid((30, 30, 30), nib.affines.from_matvec(np.eye(3), [-10, -10, -10]))
    assert overlap_fraction(grid, large) == 1.0
    assert overlap_fraction(large, grid) == pytest.approx(1 / 27, abs=0.01)
