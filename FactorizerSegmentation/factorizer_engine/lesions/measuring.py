"""Lesions as the connected pieces of each class in a label map, and their measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cc3d
import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.triples import triple

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Label, Region

#: Centres of the six faces of a voxel around its centre, in voxels.
_FACES = np.concatenate([np.eye(3), -np.eye(3)]) / 2

#: Up to this size trying all pairs of points is quicker than finding the hull.
_FEW_VOXELS = 12


def find_lesions(
    labelmap: Scan,
    regions: Sequence[Region],
    labels: Sequence[Label],
    probabilities: np.ndarray,
) -> list[Lesion]:
    """Measure the connected pieces (26 neighbours) of every class.

    Args:
        labelmap: Integer voxels, shape (I, J, K).
        regions: The network's regions, in the order of `probabilities`.
        labels: The classes; values that none of them names are passed over.
        probabilities: Shape (R, I, J, K), on the grid of the label map.

    Returns:
        All lesions, classes in the order of `labels`, each from large to small.
    """
    sources = {region.label: index for index, region in enumerate(regions)}
    by_value = {label.value: label for label in labels}
    return [
        _measure(number, by_value[value], voxels, labelmap.grid, probabilities, sources)
        for number, (value, voxels) in enumerate(_pieces(labelmap.array, labels), start=1)
    ]


def lesion_mask(labelmap: Scan, labels: Sequence[Label], number: int) -> np.ndarray:
    """Where the lesion is that `find_lesions` gave this number (its `id`), boolean (I, J, K).

    Raises:
        BadInputError: If there is no such lesion.
    """
    pieces = _pieces(labelmap.array, labels)
    if not 1 <= number <= len(pieces):
        known = f"numbers 1 to {len(pieces)}" if pieces else "no lesion"
        raise BadInputError(f"There is no lesion {number}; the result has {known}.")
    mask = np.zeros(labelmap.shape, dtype=bool)
    mask[tuple(pieces[number - 1][1].T)] = True
    return mask


def _pieces(labelmap: np.ndarray, labels: Sequence[Label]) -> list[tuple[int, np.ndarray]]:
    """Value and voxels (N, 3) of every connected piece, in the order of `find_lesions`."""
    box = foreground_box([labelmap], margin=0)
    if box is None:
        return []
    values = np.ascontiguousarray(labelmap[box])
    pieces, count = cc3d.connected_components(values, connectivity=26, return_N=True)
    where = np.stack(np.nonzero(pieces))
    piece_of = pieces[tuple(where)]
    sizes = np.bincount(piece_of, minlength=count + 1)[1:]
    order = np.argsort(piece_of, kind="stable")
    members = np.split(where[:, order].T, np.cumsum(sizes)[:-1])
    offset = np.array([s.start for s in box])
    class_order = {label.value: rank for rank, label in enumerate(labels)}
    found = [(int(values[tuple(voxels[0])]), voxels + offset) for voxels in members]
    known = [(value, voxels) for value, voxels in found if value in class_order]
    return sorted(known, key=lambda item: (class_order[item[0]], -len(item[1])))


def largest_diameter(voxels: np.ndarray, affine: np.ndarray) -> float:
    """Largest distance in mm between two points on the surface of a set of voxels.

    The surface is represented by the centres of voxel faces, so a single voxel is as long as its
    longest edge. The two points farthest apart are vertices of the convex hull.

    Args:
        voxels: Indices, shape (N, 3), in the order in which `numpy.argwhere` gives them.
        affine: 4x4, voxel to world.
    """
    few = len(voxels) <= _FEW_VOXELS
    # Faces of voxels inside the hull of all centres are inside the hull of all faces.
    centres = voxels if few else _outermost(_line_ends(voxels))
    points = (centres[:, None] + _FACES).reshape(-1, 3) @ affine[:3, :3].T
    return float(pdist(points if few else _outermost(points)).max())


def _outermost(points: np.ndarray) -> np.ndarray:
    """The vertices of the convex hull; all points (N, 3) where they lie in one plane."""
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:
        return points


def _measure(
    number: int,
    label: Label,
    voxels: np.ndarray,
    grid: Grid,
    probabilities: np.ndarray,
    sources: dict[int, int],
) -> Lesion:
    centre = grid.affine[:3, :3] @ voxels.mean(axis=0) + grid.affine[:3, 3]
    probability = float("nan")
    if label.value in sources:
        values = probabilities[sources[label.value]][tuple(voxels.T)]
        probability = float(values.mean(dtype=np.float64))
    return Lesion(
        id=number,
        label=label.value,
        name=label.name,
        volume_ml=grid.volume_ml(len(voxels)),
        max_diameter_mm=largest_diameter(voxels, grid.affine),
        centroid_ras=triple(float(c) for c in centre),
        mean_probability=probability,
    )


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
