"""Distances of voxels to some of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from factorizer_engine.images.distances import distance_to


@pytest.mark.parametrize("spacing", [(0.7, 1.0, 2.5), (1.2, 0.4)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", [0.002, 0.3])
def test_distances_are_those_of_another_library(spacing, order, part):
    shape = (31, 24, 17)[: len(spacing)]
    mask = np.random.default_rng(1).random(shape) < part
    mask.flat[5] = True
    found = distance_to(np.array(mask, order=order), spacing)
    assert found.dtype == np.float32
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_inside_of_a_mask_is_at_no_distance_and_nothing_is_infinitely_far():
    assert not distance_to(np.ones((9, 8, 7), bool), (1.0, 1.0, 1.0)).any()
    assert np.isinf(distance_to(np.zeros((9, 8, 7), bool), (1.0, 1.0, 1.0))).all()
