"""Orientations are those of nibabel."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.orientation import axis_codes, parse_codes

ALL_CODES = ["".join(c) for axes in permutations(("LR", "PA", "IS")) for c in product(*axes)]


def random_affine(seed: int, shear: float) -> np.ndarray:
    """Any rotation, reflection, spacing and origin."""
    rng = np.random.default_rng(seed)
    matrix = Rotation.random(random_state=seed).as_matrix()
    matrix = matrix @ (np.eye(3) + shear * np.triu(rng.uniform(-1, 1, (3, 3)), 1))
    matrix = matrix * rng.uniform(0.3, 6.0, 3) * rng.choice([-1, 1], 3)
    return nib.affines.from_matvec(matrix, rng.uniform(-50, 50, 3))


@pytest.mark.parametrize("shear", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(40))
def test_axes_have_the_names_that_nibabel_gives_them(seed, shear):
    affine = random_affine(seed, shear)
    assert axis_codes(affine) == "".join(nib.aff2axcodes(affine))


@pytest.mark.parametrize("codes", ALL_CODES)
def test_a_grid_is_turned_as_nibabel_turns_it(codes):
    grid = Grid((5, 6, 7), random_affine(ALL_CODES.index(codes), 0.2))
    change = nib.orientations.ornt_transform(
        nib.io_orientation(grid.affine), nib.orientations.axcodes2ornt(codes)
    )
    turned = grid.oriented(codes)
    back = nib.orientations.inv_ornt_aff(change, grid.shape)
    np.testing.assert_allclose(turned.affine, grid.affine @ back, atol=1e-12)
    assert turned.shape == nib.apply_orientation(np.empty(grid.shape), change).shape
    assert turned.orientation == codes


@pytest.mark.parametrize("codes", ["", "RA", "RAX", "RRS", "RAS "])
def test_letters_that_do_not_name_three_axes_are_refused(codes):
    with pytest.raises(ValueError, match="three axes"):
        parse_codes(codes)
