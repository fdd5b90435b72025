"""A label map for tests of writing."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.images.scan import Scan


@pytest.fixture
def labelmap(oblique_scan) -> Scan:
    array = np.zeros(oblique_scan.shape, np.uint8)
    array[2:8, 3:9, 2:7] = 2
    array[4:6, 4:7, 3:6] = 4
    return oblique_scan.with_array(array)
