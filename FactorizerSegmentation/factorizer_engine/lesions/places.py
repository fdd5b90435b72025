"""Where in the head a lesion lies, in words.

Left and right are told by the plane in which the head is its own mirror image, and not by the sign
of a coordinate: heads are seldom upright in the middle of the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from factorizer_engine.images.orientation import axis_directions
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.lesions import (
    ANTERIOR,
    BOTH_SIDES,
    INFERIOR,
    LEFT,
    POSTERIOR,
    RIGHT,
    SUPERIOR,
)
from factorizer_engine.protocol.triples import triple

_SAMPLE_MM = 6.0
"""Distance of the samples by which the mirror plane is found."""
_LEAST_SYMMETRY = 0.93
"""Overlap of a mask with its mirror image; heads have more than 0.96, parts of heads much less."""
_TRIALS = 100
"""Of mirror planes; more change the best by less than half a degree and a millimetre."""
_FEWEST_SAMPLES = 100
_NARROWEST_MM = 90.0
"""A head is at least as wide; in a smaller field of view the middle cannot be told."""
_BRAIN_MM = 150.0
"""No brain is higher; what lies deeper below the top of the head is neck."""
_CUT = 0.4
"""Part of its largest section that a head has at an edge of the image where it is cut."""
_LEAST_HEIGHT_MM = 110.0
"""From the top down to a cut; above lower ones brain is missing, and not neck only."""
_ONE_SIDED = 0.85
"""Part of a lesion on one side that makes it a lesion of that side."""


@dataclass(frozen=True, eq=False)
class Head:
    """Where the head lies in the world.

    Attributes:
        normal: Unit vector to the patient's right, at a right angle to the mirror plane.
        offset: Of the mirror plane along `normal`, in mm.
        low, high: Of what is seen of the head, along R, A and S, in mm.
        whole: Whether it is seen whole along R, A and S; thirds of a part tell no place.
    """

    normal: np.ndarray
    offset: float
    low: np.ndarray
    high: np.ndarray
    whole: tuple[bool, bool, bool] = (True, True, True)

    def place_of(self, points: np.ndarray) -> tuple[str, ...]:
        """Side and thirds of the head in which points (N, 3), RAS in mm, lie."""
        right = float((points @ self.normal > self.offset).mean())
        words = [BOTH_SIDES]
        if right >= _ONE_SIDED:
            words = [RIGHT]
        elif right <= 1 - _ONE_SIDED:
            words = [LEFT]
        parts = (points.mean(axis=0) - self.low) / (self.high - self.low)
        for axis, back, front in ((1, POSTERIOR, ANTERIOR), (2, INFERIOR, SUPERIOR)):
            if self.whole[axis] and not 1 / 3 <= parts[axis] <= 2 / 3:
                words.append(back if parts[axis] < 0.5 else front)
        return tuple(words)


def find_head(scan: Scan) -> Head | None:
    """The head in a scan, or None if what is seen is no whole head.

    The mask of what is brighter than the mean, blurred a little, is mirrored at planes near the
    sagittal one through its centre, and the plane that brings most of it upon itself is taken.
    """
    every = [max(1, round(_SAMPLE_MM / size)) for size in scan.spacing]
    coarse = scan.array[:: every[0], :: every[1], :: every[2]].astype(np.float32)
    affine = scan.affine.copy()
    affine[:3, :3] *= every
    bright = coarse > coarse.mean()
    if np.count_nonzero(bright) < _FEWEST_SAMPLES:
        return None
    mask = gaussian_filter(bright.astype(np.float32), 1.0)  # so that its edges have no steps
    indices = np.argwhere(bright).T
    points = affine[:3, :3] @ indices + affine[:3, 3:]
    weights = mask[bright]
    to_index = np.linalg.inv(affine[:3, :3])
    centre = points.mean(axis=1)

    def asymmetry(plane: np.ndarray) -> float:
        normal = _normal(plane)
        away = normal @ points - normal @ centre - plane[2]
        mirrored = indices - np.outer(to_index @ normal, 2 * away)
        values = map_coordinates(mask, mirrored, order=1, prefilter=False)
        return -float(values @ weights / (weights @ weights))

    step = np.array([[0.0, 0.0, 0.0], [0.15, 0.0, 0.0], [0.0, 0.15, 0.0], [0.0, 0.0, 8.0]])
    options = {"initial_simplex": step, "xatol": 0.01, "fatol": 1e-4, "maxfev": _TRIALS}
    found = minimize(asymmetry, np.zeros(3), method="Nelder-Mead", options=options)
    low, high = np.percentile(points, (1, 99), axis=1)
    if -found.fun < _LEAST_SYMMETRY or high[0] - low[0] < _NARROWEST_MM:
        return None
    normal, whole = _normal(found.x), _seen_whole(bright, affine, float(high[2] - low[2]))
    low[2] = max(low[2], high[2] - _BRAIN_MM)
    return Head(normal, float(centre @ normal + found.x[2]), low, high, whole)


def _seen_whole(head: np.ndarray, affine: np.ndarray, height_mm: float) -> tuple[bool, bool, bool]:
    """Whether the edges of an image do not cut a head, along R, A and S.

    Below, where heads go on in necks, they may, if enough is seen above.

    Args:
        head: Mask, shape (I, J, K).
        affine: 4x4, its voxel to world.
        height_mm: How much is seen of it along S.
    """
    whole = [True, True, True]
    for axis, (world, sign) in enumerate(axis_directions(affine)):
        sections = head.sum(axis=tuple(other for other in range(3) if other != axis))
        cut_low, cut_high = (sections[[0, -1]] > _CUT * sections.max())[::sign]
        if world == 2 and height_mm >= _LEAST_HEIGHT_MM:
            cut_low = False
        whole[world] = not (cut_low or cut_high)
    return triple(whole)


def _normal(plane: np.ndarray) -> np.ndarray:
    """The unit vector to the right of a plane that is turned by some radians about S and A."""
    yaw, roll = plane[:2]
    normal = np.array([1.0, np.tan(yaw), np.tan(roll)])
    return normal / np.linalg.norm(normal)
