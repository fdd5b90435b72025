"""From probabilities to regions, with floats and with 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.painting import FULL_LEVEL, compact, region_masks

NESTED = (Region("ET", 4, "", 2), Region("TC", 1, "", 1), Region("WT", 2, "", 0))
APART = (Region("A", 1, ""), Region("B", 2, ""))


def painted(probabilities, regions, thresholds) -> np.ndarray:
    labelmap = np.zeros(probabilities.shape[1:], np.uint8)
    for region, mask in region_masks(probabilities, regions, thresholds):
        labelmap[mask] = region.label
    return labelmap


def maps(*rows) -> np.ndarray:
    return np.array(rows, np.float32)[:, :, None, None]


def test_each_region_has_its_own_threshold():
    probabilities = maps([0.9, 0.4, 0.0], [0.9, 0.6, 0.1], [0.9, 0.9, 0.6])
    assert painted(probabilities, NESTED, (0.5, 0.5, 0.5)).ravel().tolist() == [4, 1, 2]
    assert painted(probabilities, NESTED, (0.3, 0.7, 0.7)).ravel().tolist() == [4, 4, 0]


def test_regions_that_exclude_each_other_hold_together():
    probabilities = maps([0.3, 0.6, 0.2], [0.4, 0.1, 0.2])
    assert painted(probabilities, APART, (0.5, 0.5)).ravel().tolist() == [2, 1, 0]
    assert painted(probabilities, APART, (0.5, 0.8)).ravel().tolist() == [0, 1, 0]


@pytest.mark.parametrize("regions", [NESTED, APART])
def test_eight_bits_give_the_same_regions_as_floats(regions):
    """At one half exactly; elsewhere only where the probability is a rounding away from it."""
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0, 1, (len(regions), 12, 12, 12)).astype(np.float32)
    probabilities[:, 0, 0, :3] = 0.5, 0.499, 0.501
    levels = compact(probabilities)
    half = [0.5 * FULL_LEVEL] * len(regions)
    exact = painted(probabilities, regions, [0.5] * len(regions))
    if regions is NESTED:
        np.testing.assert_array_equal(painted(levels, regions, half), exact)
    assert (painted(levels, regions, half) != exact).mean() < 0.01
    assert levels.dtype == np.uint8
    assert np.abs(levels / FULL_LEVEL - probabilities).max() <= 0.5 / FULL_LEVEL + 1e-6
