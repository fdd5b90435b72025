"""Made-up heads: scalp, skull, brain, ventricles and a tumour, in two contrasts."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.scan import Scan

SHAPE, SPACING = (60, 70, 40), (3.0, 3.0, 4.0)

T1 = {"air": 0.0, "scalp": 900.0, "bone": 40.0, "brain": 400.0, "fluid": 90.0, "tumour": 300.0}
T2 = {"air": 0.0, "scalp": 500.0, "bone": 30.0, "brain": 350.0, "fluid": 900.0, "tumour": 700.0}


def affine() -> np.ndarray:
    """Voxels around the origin of the world."""
    matrix = np.diag([*SPACING, 1.0])
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return matrix


def tissues() -> dict[str, np.ndarray]:
    """Masks by name; no axis of the head is one of symmetry."""
    indices = np.indices(SHAPE).reshape(3, -1).T
    points = indices @ affine()[:3, :3].T + affine()[:3, 3]

    def ellipsoid(centre, radii) -> np.ndarray:
        return (((points - centre) / radii) ** 2).sum(axis=1).reshape(SHAPE) < 1.0

    head = ellipsoid((0, 0, 0), (76, 92, 70)) | ellipsoid((0, 75, -35), (20, 25, 20))
    skull = ellipsoid((0, -2, 4), (68, 82, 60))
    brain = ellipsoid((0, -2, 6), (61, 75, 53))
    fluid = ellipsoid((-9, 5, 10), (8, 28, 12)) | ellipsoid((10, 5, 8), (7, 25, 13))
    fluid |= ellipsoid((25, -40, 20), (6, 12, 6))
    return {
        "scalp": head & ~skull,
        "bone": skull & ~brain,
        "brain": brain,
        "fluid": fluid,
        "tumour": ellipsoid((-35, 25, 15), (14, 16, 12)),
    }


def head(contrast: dict[str, float], seed: int = 0) -> Scan:
    """A head with skull in slightly noisy air."""
    array = np.full(SHAPE, contrast["air"])
    for name, mask in tissues().items():
        array[mask] = contrast[name]
    array += np.random.default_rng(seed).normal(0, 8, SHAPE)
    return Scan.of(np.maximum(array, 0).astype(np.float32), affine(), "head")


def stripped(contrast: dict[str, float]) -> Scan:
    """The same without its skull, in black."""
    whole = head(contrast)
    return whole.with_array(np.where(tissues()["brain"], whole.array + 1, 0))
