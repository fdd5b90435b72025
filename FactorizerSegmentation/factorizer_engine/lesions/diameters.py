"""Diameters of sets of voxels, in space and within a slice.

The surface of a set of voxels is represented by the centres of their faces, so a single voxel is as
long as its longest edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from factorizer_engine.images.orientation import axis_directions
from factorizer_engine.protocol.lesions import Ruler
from factorizer_engine.protocol.triples import triple

#: Centres of the faces of a voxel around its centre, in voxels.
_FACES = np.concatenate([np.eye(3), -np.eye(3)]) / 2
_EDGES = np.concatenate([np.eye(2), -np.eye(2)]) / 2
_CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / 2

#: Up to this size trying all pairs of points is quicker than finding the hull.
_FEW_VOXELS = 12

#: So much coarser than the others an axis must be for its slices to be those that were acquired.
_ANISOTROPY = 1.5

#: Along so many directions slices are measured before the longest are measured exactly.
_DIRECTIONS = 16
_ROUNDING = 1e-9

#: Lines through a slice that are measured, in the width of a pixel.
_FINENESS = 10


def largest_diameter(voxels: np.ndarray, affine: np.ndarray) -> float:
    """Largest distance in mm between two points on the surface of a set of voxels.

    The two points farthest apart are vertices of the convex hull.

    Args:
        voxels: Indices, shape (N, 3), in the order in which `numpy.argwhere` gives them.
        affine: 4x4, voxel to world.
    """
    few = len(voxels) <= _FEW_VOXELS
    # Faces of voxels inside the hull of all centres are inside the hull of all faces.
    centres = voxels if few else _outermost(_line_ends(voxels))
    points = (centres[:, None] + _FACES).reshape(-1, 3) @ affine[:3, :3].T
    return float(pdist(points if few else _outermost(points)).max())


def axes_in_slice(voxels: np.ndarray, affine: np.ndarray) -> tuple[Ruler, Ruler]:
    """The longest diameter within a slice, and the longest line there at a right angle to it.

    As RANO measures enhancing lesions (Wen et al., J Clin Oncol 28:1963, 2010): the slice is the
    one in which the diameter is longest, and the line at a right angle lies inside the lesion.
    Slices are the axial ones, or those in which the scan was acquired where they are thick.

    Args:
        voxels: Indices, shape (N, 3).
        affine: 4x4, voxel to world.

    Returns:
        Long and short axis, RAS in mm.
    """
    across = slice_axis(affine)
    within = [axis for axis in range(3) if axis != across]
    plane, basis = _plane(affine[:3, within])
    best = (-1.0, 0, np.zeros((2, 2)))
    for number, outline in _longest_slices(voxels[:, [across, *within]], plane):
        ends = _farthest(outline, plane)
        length = float(np.linalg.norm(ends[1] - ends[0]))
        best = max(best, (length, number, ends), key=itemgetter(0))
    _, number, ends = best
    pixels = voxels[voxels[:, across] == number][:, within]
    height = affine[:3, across] * number + affine[:3, 3]

    def ruler(points: np.ndarray) -> Ruler:
        first, second = points @ basis.T + height
        return Ruler(triple(map(float, first)), triple(map(float, second)))

    return ruler(ends), ruler(_longest_across(pixels, plane, ends))


def slice_axis(affine: np.ndarray) -> int:
    """The voxel axis across the slices in which lesions are measured."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    thickest = int(np.argmax(spacing))
    if spacing[thickest] > _ANISOTROPY * np.median(spacing):
        return thickest
    return [world for world, _ in axis_directions(affine)].index(2)


def _plane(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From pixel indices to mm in the plane (2x2), and from there to the world (3x2)."""
    basis, plane = np.linalg.qr(columns)
    return plane, basis


def _longest_slices(voxels: np.ndarray, plane: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The slices in which the longest diameter can be, in order, and what lies outermost there.

    Along one of n directions, 180 / n degrees apart, a shape is never longer than its diameter,
    and at least cos(90 / n degrees) of it along the one nearest to that.

    Args:
        voxels: Indices, shape (N, 3): slice, row, column.
        plane: From row and column to mm.

    Yields:
        The number of a slice, and (M, 2) pixels among which are the corners of its convex hull.
    """
    slices, ends = _row_ends(voxels)
    angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    directions = plane.T @ np.stack([np.cos(angles), np.sin(angles)])
    along = ends @ directions
    numbers, starts = np.unique(slices, return_index=True)
    highest = np.maximum.reduceat(along.max(axis=1), starts)
    lowest = np.minimum.reduceat(along.min(axis=1), starts)
    lengths = (highest - lowest + np.abs(directions).max(axis=0)).max(axis=1)  # with half pixels
    at_most = lengths / np.cos(np.pi / 2 / _DIRECTIONS) * (1 + _ROUNDING)
    for number in numbers[at_most >= lengths.max()]:
        yield int(number), ends[slices == number].reshape(-1, 2)


def _row_ends(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last voxel of every row of voxels (N, 3): slice, row, column.

    Returns:
        The slices (M,) of the rows, in order, and (M, 2, 2): row and column of both ends.
    """
    low = voxels.min(axis=0)
    image = np.zeros(voxels.max(axis=0) - low + 1, dtype=bool)
    image[tuple((voxels - low).T)] = True
    slices, rows = np.nonzero(image.any(axis=2))
    lines = image[slices, rows]
    columns = (lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1))
    ends = np.stack([np.stack([rows, column], axis=1) for column in columns], axis=1)
    return slices + low[0], ends + low[1:]


def _farthest(pixels: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """The two points of the border of some pixels that are farthest apart, (2, 2) in mm."""
    points = _outermost((pixels[:, None] + _EDGES).reshape(-1, 2) @ plane.T)
    distances = squareform(pdist(points))
    return points[list(np.unravel_index(np.argmax(distances), distances.shape))]


def _longest_across(pixels: np.ndarray, plane: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The longest line inside some pixels at a right angle to the one between `ends`, in mm.

    It can reach into corners, where `ends` only reach to the centres of edges; so that it is not
    longer than the longest diameter, it is cut to that.
    """
    length = float(np.linalg.norm(ends[1] - ends[0]))
    along = (ends[1] - ends[0]) / length
    across = np.array([-along[1], along[0]])
    step = float(np.linalg.norm(plane, axis=0).min()) / _FINENESS
    corners = (pixels[:, None] + _CORNERS).reshape(-1, 2) @ plane.T - ends[0]
    low, high = (corners @ along).min(), (corners @ along).max()
    lines = ends[0] + np.arange(low + step / 2, high, step)[:, None] * along
    row, start, stop = _longest_run(pixels, lines, across, np.linalg.inv(plane))
    middle, half = (start + stop) / 2, min(stop - start, length) / 2
    return lines[row] + np.array([[middle - half], [middle + half]]) * across


def _longest_run(
    pixels: np.ndarray, origins: np.ndarray, direction: np.ndarray, to_index: np.ndarray
) -> tuple[int, float, float]:
    """The longest piece of some parallel lines that lies inside pixels.

    Between two borders of pixels that follow each other, a line is inside one pixel.

    Args:
        pixels: Indices, shape (N, 2).
        origins: Points in mm, shape (M, 2), one on each line.
        direction: A unit vector along all of them.
        to_index: From mm to indices (2x2).

    Returns:
        Which line, and from where to where on it, in mm from its origin.
    """
    first, slope = origins @ to_index.T, to_index @ direction
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    borders = [
        (np.arange(low[axis], high[axis] + 2) - 0.5 - first[:, axis, None]) / slope[axis]
        for axis in range(2)
        if abs(slope[axis]) > _ROUNDING
    ]
    places = np.sort(np.concatenate(borders, axis=1), axis=1)
    middles = (places[:, :-1] + places[:, 1:]) / 2
    inside = _inside(pixels, np.rint(first[:, None] + middles[..., None] * slope).astype(int))
    inside |= np.diff(places, axis=1) < _ROUNDING  # where a line meets two borders at once
    rows, starts, stops = _runs(inside)
    longest = int(np.argmax(places[rows, stops] - places[rows, starts]))
    row = int(rows[longest])
    return row, float(places[row, starts[longest]]), float(places[row, stops[longest]])


def _inside(pixels: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Which of the indices (..., 2) are among the pixels (N, 2)."""
    low = pixels.min(axis=0) - 1
    image = np.zeros(pixels.max(axis=0) - low + 2, dtype=bool)
    image[tuple((pixels - low).T)] = True
    places = np.clip(indices - low, 0, np.array(image.shape) - 1)
    return image[tuple(np.moveaxis(places, -1, 0))]


def _runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, start and end of all runs of true values in the rows of (N, M)."""
    padded = np.pad(rows, ((0, 0), (1, 1))).astype(np.int8)
    changes = np.diff(padded, axis=1)
    (in_row, starts), (_, stops) = np.nonzero(changes == 1), np.nonzero(changes == -1)
    return in_row, starts, stops


def _outermost(points: np.ndarray) -> np.ndarray:
    """The vertices of the convex hull; all points (N, D) where it is flat."""
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:
        return points


def _line_ends(voxels: np.ndarray) -> np.ndarray:
    """Those voxels that are first or last in their row along every axis; all hull vertices are."""
    for axis in (2, 1, 0):
        others = [a for a in range(3) if a != axis]
        if axis < 2:  # they come in the order of rows along the last axis
            order = np.lexsort((voxels[:, axis], voxels[:, others[0]], voxels[:, others[1]]))
            voxels = voxels[order]
        new_row = (np.diff(voxels[:, others], axis=0) != 0).any(axis=1)
        first = np.concatenate([[True], new_row])
        last = np.concatenate([new_row, [True]])
        voxels = voxels[first | last]
    return voxels
