"""Backgrounds, ringing and outliers are mended; ordinary scans stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from factorizer_engine.images.intensities import background_of, mended
from factorizer_engine.images.scan import Scan


@pytest.fixture
def scan() -> Scan:
    array = np.zeros((20, 20, 20), np.float32)
    array[4:16, 4:16, 4:16] = np.random.default_rng(0).uniform(100, 300, (12, 12, 12))
    return Scan.of(array, np.eye(4))


def test_an_ordinary_scan_stays_as_it_is(scan):
    assert mended(scan) is scan


@pytest.mark.parametrize("value", [-1.0, 17.0])
def test_a_background_becomes_zero_whatever_it_was(scan, value):
    shifted = scan.with_array(np.where(scan.array == 0, value, scan.array).astype(np.float32))
    assert background_of(shifted.array) == value
    np.testing.assert_array_equal(mended(shifted).array, scan.array)


def test_values_of_the_image_that_are_zero_do_not_become_background(scan):
    standardised = np.where(scan.array == 0, -9, np.round((scan.array - 200) / 50))
    result = mended(scan.with_array(standardised)).array
    assert ((result != 0) == (scan.array != 0)).all()


def test_a_noisy_background_has_no_value(scan):
    noise = np.random.default_rng(1).rayleigh(3, scan.shape)
    assert background_of(scan.array + noise) is None


def test_one_voxel_far_beyond_all_others_is_clipped(scan):
    spiked = scan.array.copy()
    spiked[10, 10, 10] = 1e6
    result = mended(scan.with_array(spiked)).array
    assert result.max() < 3000
    rest = np.ones(scan.shape, bool)
    rest[10, 10, 10] = False
    np.testing.assert_array_equal(result[rest], scan.array[rest])


def test_ringing_becomes_background(scan):
    ringing = ndimage.zoom(scan.array, 1.5, order=3)
    assert (np.abs(ringing[:4]) > 0).any()
    result = mended(Scan.of(ringing, np.eye(4))).array
    assert np.count_nonzero(result) < 0.8 * np.count_nonzero(ringing)
    assert (result[8:20, 8:20, 8:20] != 0).all()
