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
    """A segmentation as somebody else might have left it.

    Its border lies up to 6 mm too far out or in, and often a piece is missing (a ball, one side or
    all of it), or healthy tissue nearby is taken for a part.

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
    changed = depth - away > generator.uniform(-6.0, 6.0)
    kind = generator.choice(["nothing", "ball", "side", "all"], p=[0.3, 0.3, 0.25, 0.15])
    if kind == "all":
        changed[:] = False
    elif kind != "nothing":
        offsets = _offsets_from(np.argwhere(truth), truth.shape, spacing, generator)
        changed &= _is_kept(kind, offsets, generator)
    around = np.argwhere((away > 8.0) & (away < 25.0))
    if len(around) and generator.random() < 0.25:
        offsets = _offsets_from(around, truth.shape, spacing, generator)
        changed |= _squared(offsets) < generator.uniform(5.0, 14.0) ** 2
    return changed


def _offsets_from(
    places: np.ndarray,
    shape: Sequence[int],
    spacing: Sequence[float],
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Along each axis the distance (mm) of all voxels to one of the places (N, 3)."""
    center = places[int(generator.integers(len(places)))]
    ticks = np.indices(shape, sparse=True)
    return [(t - c) * s for t, c, s in zip(ticks, center, spacing, strict=True)]


def _is_kept(
    kind: str, offsets: Sequence[np.ndarray], generator: np.random.Generator
) -> np.ndarray:
    """Booleans: what is left without a ball, or without one side, at a place."""
    if kind == "ball":
        return _squared(offsets) > generator.uniform(6.0, 25.0) ** 2
    along = [o * d for o, d in zip(offsets, generator.normal(size=3), strict=True)]
    return along[0] + along[1] + along[2] > 0


def _squared(offsets: Sequence[np.ndarray]) -> np.ndarray:
    """Squared distance of all voxels to the place from which offsets are."""
    first, second, third = offsets
    return first**2 + second**2 + third**2


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
