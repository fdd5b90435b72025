"""Which way the axes of a voxel grid run, as three letters such as "LPS".

nibabel computes the same; importing it takes longer than preparing a case, and a run that gets its
scans from Slicer needs nothing else of it.
"""

from __future__ import annotations

import numpy as np

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the world axes of ITK and DICOM (LPS) to those used here (RAS), and back."""

TOP_TO_BOTTOM = np.diag([1.0, 1.0, -1.0, 1.0])
"""Mirrors the world from top to bottom."""

CODES = ("LR", "PA", "IS")
"""Letters of each world axis (x, y, z in RAS), for the negative and the positive direction."""


def axis_directions(affine: np.ndarray) -> tuple[tuple[int, int], ...]:
    """World axis nearest to each voxel axis, and whether it runs along (1) or against it (-1).

    Args:
        affine: 4x4, voxel to world, regular.
    """
    rotation = nearest_rotation(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    directions = [(0, 0)] * 3
    # The voxel axes that are nearest to a world axis choose first; so all get different ones.
    for axis in np.argsort(-(rotation**2).max(axis=0), kind="stable"):
        world = int(np.argmax(np.abs(rotation[:, axis])))
        directions[axis] = world, 1 if rotation[world, axis] > 0 else -1
        rotation[world] = 0.0
    return tuple(directions)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation, or rotation with reflection, of the polar decomposition of a regular matrix."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def axis_codes(affine: np.ndarray) -> str:
    """World directions in which i, j and k increase, such as "LPS"."""
    return "".join(CODES[world][sign > 0] for world, sign in axis_directions(affine))


def upside_down(codes: str) -> str:
    """The letters of axes that run the same way but for up and down, such as "RAI" for "RAS"."""
    return codes.translate(str.maketrans("IS", "SI"))


def parse_codes(codes: str) -> tuple[tuple[int, int], ...]:
    """The directions that `codes` names, as `axis_directions` gives them.

    Raises:
        ValueError: If they are not three letters for three different axes.
    """
    directions = tuple(
        (world, 1 if letters.index(code) else -1)
        for code in codes
        for world, letters in enumerate(CODES)
        if code in letters
    )
    if len(codes) != 3 or {world for world, _ in directions} != {0, 1, 2}:
        raise ValueError(f"{codes!r} does not name three axes")
    return directions
