"""Scans: voxels with their place."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan


def test_a_scan_has_the_place_of_its_grid():
    affine = np.diag([-2.0, -1.0, 3.0, 1.0])
    scan = Scan.of(np.zeros((2, 3, 4)), affine, "T1")
    assert scan.shape == scan.grid.shape == (2, 3, 4)
    assert scan.spacing == (2.0, 1.0, 3.0) and scan.orientation == "LPS"
    np.testing.assert_array_equal(scan.affine, affine)
    assert scan.grid.voxel_ml == pytest.approx(0.006)
    assert scan.grid.volume_ml(1000) == pytest.approx(6.0)


def test_other_voxels_take_the_same_place_and_name():
    scan = Scan.of(np.zeros((2, 3, 4)), np.diag([1.0, 2.0, 3.0, 1.0]), "T1")
    other = scan.with_array(np.ones((2, 3, 2)))
    assert (other.shape, other.name) == ((2, 3, 2), "T1")
    np.testing.assert_array_equal(other.affine, scan.affine)


def test_voxels_that_do_not_fit_the_grid_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Scan(np.zeros((2, 3, 4)), Grid((4, 3, 2), np.eye(4)))
