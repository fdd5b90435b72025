"""Label maps come onto the grid of their scan."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.labelmaps import on_whole_grid
from factorizer_engine.images.scan import Scan


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
