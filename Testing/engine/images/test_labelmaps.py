"""Label maps come onto the grid of their scan."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.images.labelmaps import on_other_grid, on_whole_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError


def test_a_box_of_a_label_map_is_laid_on_the_whole_scan(oblique_scan):
    labels = np.zeros(oblique_scan.shape, np.uint8)
    labels[3:6, 4:8, 2:5] = 4
    box = (slice(2, 8), slice(3, 10), slice(1, 6))
    part = Scan(labels[box], oblique_scan.grid.crop(box), "part")
    whole = on_whole_grid(part, oblique_scan.grid)
    np.testing.assert_array_equal(whole.array, labels)
    assert whole.grid is oblique_scan.grid and whole.name == "part"


def test_no_voxel_of_a_label_map_is_lost(oblique_scan):
    labels = np.ones(oblique_scan.shape, np.uint8)
    whole = Scan(labels, oblique_scan.grid)
    inner = oblique_scan.grid.crop((slice(1, 5), slice(0, 12), slice(0, 9)))
    assert on_whole_grid(whole, inner) is whole
    finer = oblique_scan.grid.respaced((0.5, 0.5, 0.5))
    assert on_whole_grid(whole, finer) is whole


def test_a_label_map_on_another_grid_takes_the_nearest_voxels(oblique_scan):
    labels = np.zeros(oblique_scan.shape, np.uint8)
    labels[3:6, 4:8, 2:5] = 4
    finer = oblique_scan.grid.respaced((0.5, 0.5, 0.5))
    drawn = on_other_grid(Scan(labels, oblique_scan.grid), finer)
    assert set(np.unique(drawn.array)) == {0, 4}
    assert finer.volume_ml(np.count_nonzero(drawn.array)) == pytest.approx(
        oblique_scan.grid.volume_ml(np.count_nonzero(labels)), rel=0.05
    )
    back = on_other_grid(drawn, oblique_scan.grid)
    np.testing.assert_array_equal(back.array, labels)


def test_a_label_map_that_lies_elsewhere_is_refused(oblique_scan):
    away = oblique_scan.affine + 1000 * np.eye(4)[:, [3, 3, 3, 0]]
    labels = np.ones(oblique_scan.shape, np.uint8)
    with pytest.raises(BadInputError, match="Nothing of Old lies on the scan"):
        on_other_grid(Scan.of(labels, away, "Old"), oblique_scan.grid)
    empty = on_other_grid(Scan.of(0 * labels, away, "Old"), oblique_scan.grid)
    assert not empty.array.any()
