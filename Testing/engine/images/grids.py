"""Grids in the world that tests make up."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from factorizer_engine.images.geometry import Grid


def random_affine(rng: np.random.Generator, shear: float = 0.0) -> np.ndarray:
    """Any rotation, reflection, spacing of 0.6 to 2.5 mm and origin."""
    matrix = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
    matrix = matrix @ (np.eye(3) + shear * np.triu(rng.uniform(-1, 1, (3, 3)), 1))
    matrix = matrix * rng.uniform(0.6, 2.5, 3) * rng.choice([-1, 1], 3)
    return nib.affines.from_matvec(matrix, rng.uniform(-50, 50, 3))


def world(grid: Grid) -> np.ndarray:
    indices = np.moveaxis(np.indices(grid.shape), 0, -1).astype(np.float64)
    return indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
