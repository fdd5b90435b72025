"""From raw voxels to the network's grid there is one interpolation."""

from __future__ import annotations

import numpy as np

from factorizer_engine.bundles.settings import Preprocessing
from factorizer_engine.images.preprocessing import Preprocessor
from factorizer_engine.images.scan import Scan


def test_a_fine_channel_keeps_its_detail_beside_a_thick_reference():
    """By way of the reference's slices of 6 mm, stripes of 4 mm would be lost."""
    generator = np.random.default_rng(0)
    thick = Scan.of(generator.uniform(1, 9, (20, 20, 10)), np.diag([1.0, 1.0, 6.0, 1.0]), "thick")
    stripes = np.broadcast_to(np.where(np.arange(60) % 4 < 2, 10.0, 20.0), (20, 20, 60))
    affine = np.eye(4)
    affine[2, 3] = -2.5
    fine = Scan.of(stripes.copy(), affine, "fine")
    settings = Preprocessing((1.0, 1.0, 1.0), "RAS", normalization="zscore")
    prepared = Preprocessor(settings).prepare([thick, fine], thick)
    seen = prepared.array[1, 10, 10]
    assert seen.std() > 0.9
    np.testing.assert_allclose(np.abs(seen), 1.0, atol=1e-5)
