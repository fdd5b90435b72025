"""How far two scans of one brain lie apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from factorizer_engine.images.plausibility.alignment import displacement

SPACING = np.array([2.0, 2.0, 2.0])
SHAPE = (40, 44, 36)


@pytest.fixture(scope="module")
def anatomy() -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 2.0)


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    return np.pad(np.ones(tuple(n - 12 for n in SHAPE), dtype=bool), 6)


@pytest.mark.parametrize("move", [(0, 0, 0), (2, 0, 0), (0, -3, 1)])
def test_the_distance_is_that_of_the_move_whatever_the_contrast(anatomy, brain, move):
    other = np.exp(-2 * np.roll(anatomy, move, (0, 1, 2)))
    found = displacement(anatomy, other, brain, SPACING)
    assert found == pytest.approx(2 * np.linalg.norm(move), abs=0.3)


def test_half_a_voxel_is_told(anatomy, brain):
    other = ndimage.shift(anatomy, (1.5, 0, 0), order=3, mode="nearest")
    assert displacement(anatomy, other, brain, SPACING) == pytest.approx(3.0, abs=0.4)


def test_scans_of_different_anatomies_are_far_apart(anatomy, brain):
    other = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 2.0)
    assert displacement(anatomy, other, brain, SPACING) > 3.0


def test_too_small_a_part_says_nothing(anatomy):
    brain = np.zeros(SHAPE, dtype=bool)
    brain[20:26, 20:26, 20:26] = True
    assert displacement(anatomy, anatomy, brain, SPACING) is None
