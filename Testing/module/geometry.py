"""Places in space that tests put volumes into."""

from __future__ import annotations

import itertools

import numpy as np


def orientation_affines() -> dict[str, np.ndarray]:
    """An affine for each of the 48 axis orders and directions, with three different spacings."""
    affines = {}
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0
            for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
                affine[world, axis] = sign * (1.0, 1.5, 4.0)[axis]
            affine[:3, 3] = (12.0, -30.5, 71.25)
            letters = "".join(
                "RAS"[w] if s > 0 else "LPI"[w] for w, s in zip(order, signs, strict=True)
            )
            affines[letters] = affine
    return affines


def tilted() -> np.ndarray:
    """A rotation about an oblique axis with a shift, as registration gives."""
    angle = np.deg2rad(23.0)
    axis = np.array([1.0, 2.0, -1.0]) / np.sqrt(6.0)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = (5.0, -17.0, 40.0)
    return matrix


def apply(affine: np.ndarray, index) -> np.ndarray:
    """World position of a voxel index."""
    return (affine @ np.append(index, 1.0))[:3]
