"""A simulated user, who looks at a segmentation and corrects what is most wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import numpy as np
from scipy import ndimage

from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.interaction.strokes import Stroke

_DEEP = 0.5
"""Part of the largest depth of an error from which a point counts as in its middle."""


def next_stroke(
    mask: np.ndarray,
    truth: np.ndarray,
    region: int,
    spacing: Sequence[float],
    generator: np.random.Generator | None = None,
    scribble: float = 0.0,
) -> Stroke | None:
    """Where a user would click next to correct one region; None if nothing is wrong.

    The user looks for the largest connected error, of missing and of superfluous voxels alike, and
    clicks where it is deepest, as in RITM (Sofiiuk et al., arXiv:2102.06583, section 4) and before
    it in Xu et al. (CVPR 2016). With a random generator the point lies anywhere in the inner half
    of the error, as people click.

    Args:
        mask: Booleans, where the region is said to hold (X, Y, Z).
        truth: Booleans, where it holds.
        region: Its number.
        spacing: Voxel size in mm.
        generator: Moves the point at random; None clicks the deepest point, always the same.
        scribble: Probability of a line through the error instead of a point.
    """
    error = _largest_piece(mask != truth)
    if error is None:
        return None
    part, inside = error
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    if generator is None:
        points = np.array(np.unravel_index(depth.argmax(), depth.shape))[None]
    else:
        deep = np.argwhere(depth >= _DEEP * depth.max())
        points = deep[[int(generator.integers(len(deep)))]]
        if generator.random() < scribble:
            points = _line(points[0], deep[int(generator.integers(len(deep)))], inside)
    points = points + [axis.start for axis in part]
    return Stroke(region, points.astype(np.float64), bool(truth[tuple(points[0])]))


def rough_copy(
    truth: np.ndarray, spacing: Sequence[float], generator: np.random.Generator
) -> np.ndarray:
    """A segmentation as somebody else might have left it: a part missing, too large or too small.

    Args:
        truth: Booleans (X, Y, Z).
        spacing: Voxel size in mm.

    Returns:
        Booleans of the same shape.
    """
    if not truth.any():
        return truth
    depth = ndimage.distance_transform_edt(truth, sampling=spacing)
    away = ndimage.distance_transform_edt(~truth, sampling=spacing)
    changed = depth - away > generator.uniform(-6.0, 6.0)  # mm by which the border is moved
    if generator.random() < 0.5:
        places = np.argwhere(truth)
        center = places[int(generator.integers(len(places)))]
        lines = [
            ((np.arange(n) - c) * s) ** 2
            for n, c, s in zip(truth.shape, center, spacing, strict=True)
        ]
        distance = lines[0][:, None, None] + lines[1][:, None] + lines[2]
        changed &= distance > generator.uniform(6.0, 20.0) ** 2
    return changed


def _largest_piece(errors: np.ndarray) -> tuple[tuple[slice, slice, slice], np.ndarray] | None:
    """The box of the largest connected piece (6 neighbours), and which of its voxels are in it."""
    box = foreground_box([errors], margin=0)
    if box is None:
        return None
    pieces = cc3d.connected_components(np.ascontiguousarray(errors[box]), connectivity=6)
    statistics = cc3d.statistics(pieces)
    largest = 1 + int(np.argmax(statistics["voxel_counts"][1:]))
    part = statistics["bounding_boxes"][largest]
    first, second, third = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(box, part, strict=True)
    )
    return (first, second, third), pieces[part] == largest


def _line(first: np.ndarray, last: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The voxels (N, 3) of a straight line as far as they lie inside, beginning with `first`."""
    steps = max(int(np.abs(last - first).max()), 1)
    points = np.rint(np.linspace(first, last, steps + 1)).astype(int)
    return points[inside[tuple(points.T)]]
