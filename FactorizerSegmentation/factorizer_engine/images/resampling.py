"""Bringing scans from one grid to another.

A voxel is a box of its spacing around its centre, so a grid covers half a voxel beyond its
outermost centres. All interpolation here follows that: points inside the outer box take (clamped)
values of the scan, points beyond it take the fill value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.images.geometry import ALIGNMENT_TOLERANCE, Grid
from factorizer_engine.images.scan import Scan

#: Rows of an interpolation matrix that are multiplied together.
_BLOCK = 16

#: Matrices of weights that are kept, since the channels of a study mostly share their grids.
_KEPT = 12

#: Names of ITK's interpolators by order.
_ITK_INTERPOLATORS = {
    "nearest": "sitkNearestNeighbor",
    "linear": "sitkLinear",
    "cubic": "sitkBSpline",
}


def resample(
    scan: Scan,
    grid: Grid,
    order: str = "linear",
    *,
    fill: float = 0.0,
    antialias: bool = False,
) -> Scan:
    """Bring `scan` onto `grid` in physical space.

    Voxels that only change place (axes permuted, flipped, cropped, padded) are moved by indexing,
    exactly and in their own type; the result may then be a view. Axes that are merely scaled or
    shifted are interpolated one after the other; anything else (oblique, sheared) goes through ITK.

    Args:
        scan: The image, any real or boolean type.
        grid: Where the result is sampled.
        order: "nearest" (keeps the type), "linear" or "cubic" (B-spline); these two give float32.
        fill: Value outside the scan.
        antialias: Before sampling more coarsely than the scan, smooth by the Gaussian that turns
            its resolution into the grid's: sigma = sqrt(f^2 - 1) / (2 sqrt(2 ln 2)) voxels for
            voxels f times as long (Cardoso et al., Scale factor point spread function matching,
            MICCAI 2015).

    Returns:
        The scan with the grid's shape and affine.
    """
    if order not in _ITK_INTERPOLATORS:
        raise ValueError(f"unknown interpolation order {order!r}")
    to_source = np.linalg.inv(scan.affine) @ grid.affine
    axes = _parallel_axes(to_source, grid.shape)
    sigmas = _antialias_sigmas(to_source) if antialias and order != "nearest" else np.zeros(3)
    if axes is not None and _is_shift(to_source, axes, grid.shape):
        array = _move(scan.array, to_source, axes, grid.shape, fill)
    elif axes is not None and order != "cubic":
        array = _interpolate_axes(scan.array, to_source, axes, grid.shape, order, fill, sigmas)
    else:
        array = _interpolate_freely(scan.array, to_source, grid.shape, order, fill, sigmas)
    return Scan(array, grid, scan.name)


def only_changes_place(source: Grid, target: Grid) -> bool:
    """Whether bringing voxels from `source` to `target` takes no interpolation."""
    to_source = np.linalg.inv(source.affine) @ target.affine
    axes = _parallel_axes(to_source, target.shape)
    return axes is not None and _is_shift(to_source, axes, target.shape)


def _parallel_axes(to_source: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Source axis along which each target axis runs, or None if the axes are not parallel."""
    linear = to_source[:3, :3]
    axes = np.abs(linear).argmax(axis=0)
    if len(set(axes.tolist())) < 3:
        return None
    rest = linear.copy()
    rest[axes, np.arange(3)] = 0.0
    drift = np.abs(rest) @ np.maximum(np.asarray(shape) - 1, 0)
    return axes if drift.max() <= ALIGNMENT_TOLERANCE else None


def _is_shift(to_source: np.ndarray, axes: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether target voxels fall on source voxels, steps of one voxel along parallel axes."""
    steps = to_source[axes, np.arange(3)]
    starts = to_source[axes, 3]
    ends = starts + steps * (np.asarray(shape) - 1)
    exact = np.round(starts) + np.sign(steps) * (np.asarray(shape) - 1)
    start_off = np.abs(starts - np.round(starts)).max()
    return bool(max(start_off, np.abs(ends - exact).max()) <= ALIGNMENT_TOLERANCE)


def _antialias_sigmas(to_source: np.ndarray) -> np.ndarray:
    """Standard deviations, in source voxels along each source axis, of the smoothing needed."""
    footprint = np.linalg.norm(to_source[:3, :3], axis=1)
    return np.sqrt(np.maximum(footprint**2 - 1.0, 0.0)) / (2.0 * np.sqrt(2.0 * np.log(2.0)))


def _move(
    array: np.ndarray, to_source: np.ndarray, axes: np.ndarray, shape: tuple[int, ...], fill: float
) -> np.ndarray:
    """Permute, flip, crop and pad without interpolation; a view where nothing is padded."""
    moved = array.transpose(axes)
    signs = np.sign(to_source[axes, np.arange(3)]).astype(int)
    starts = np.round(to_source[axes, 3]).astype(int)
    taken, placed = [], []
    for length, sign, start, count in zip(moved.shape, signs, starts, shape, strict=True):
        first = start if sign > 0 else length - 1 - start
        low, high = max(first, 0), max(min(first + count, length), max(first, 0))
        flipped = slice(low, high) if sign > 0 else slice(length - high, length - low)
        taken.append(flipped)
        placed.append(slice(min(low - first, count), min(high - first, count)))
    part = moved[tuple(taken)]
    part = part[tuple(slice(None, None, int(s)) for s in signs)]
    if part.shape == tuple(shape):
        return part
    result = np.full(shape, fill, dtype=array.dtype)
    if part.size:
        result[tuple(placed)] = part
    return result


def _interpolate_axes(
    array: np.ndarray,
    to_source: np.ndarray,
    axes: np.ndarray,
    shape: tuple[int, ...],
    order: str,
    fill: float,
    sigmas: np.ndarray,
) -> np.ndarray:
    """Interpolate along one axis after the other, those that shrink the array first."""
    array = array.transpose(axes)
    positions = [
        to_source[axes[a], 3] + to_source[axes[a], a] * np.arange(shape[a]) for a in range(3)
    ]
    inside = [(positions[a] >= -0.5) & (positions[a] <= array.shape[a] - 0.5) for a in range(3)]
    if order == "nearest":
        picks = [
            np.clip(np.floor(positions[a] + 0.5), 0, array.shape[a] - 1).astype(int)
            for a in range(3)
        ]
        result = array[np.ix_(*picks)]
    else:
        result = _interpolate_lines(array.astype(np.float32, copy=False), positions, sigmas[axes])
    if not all(mask.all() for mask in inside):
        result[~(inside[0][:, None, None] & inside[1][:, None] & inside[2])] = fill
    return result


def _interpolate_lines(
    array: np.ndarray, positions: Sequence[np.ndarray], sigmas: np.ndarray
) -> np.ndarray:
    """Interpolate float32 voxels linearly at `positions` (in voxels) along each axis."""
    # The axes from far to near in memory, since matrix products need rows that lie side by side.
    order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    result = torch.from_numpy(np.require(array.transpose(order), requirements=["C", "W"]))
    growth = [len(positions[axis]) / array.shape[axis] for axis in order]
    for place in sorted(range(3), key=lambda place: (growth[place], -place)):
        axis = order[place]
        weights = _linear_weights(
            positions[axis].astype(np.float64).tobytes(), array.shape[axis], float(sigmas[axis])
        )
        result = _apply_along(weights, result, place)
    return result.numpy().transpose(np.argsort(order))


@lru_cache(maxsize=_KEPT)
def _linear_weights(positions: bytes, length: int, sigma: float) -> Tensor:
    """Matrix (M, length): linear interpolation of a smoothed line at M positions, float64."""
    clamped = np.clip(np.frombuffer(positions), 0, length - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(clamped[:, None] - np.arange(length)))
    if sigma > 0:
        offsets = np.arange(length)[:, None] - np.arange(length)
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        kernel[np.abs(offsets) > np.ceil(4.0 * sigma)] = 0.0
        weights = weights @ (kernel / kernel.sum(axis=1, keepdims=True))
    return torch.from_numpy(weights.astype(np.float32))


def _apply_along(weights: Tensor, array: Tensor, axis: int) -> Tensor:
    """Multiply `weights` (M, N) onto axis `axis` (length N) of a three-dimensional array.

    Only a band of the matrix is not zero, so it is multiplied in blocks of rows without the rest.
    """
    if axis == 2:
        return array @ weights.T
    rest = array.shape[1:]
    if axis == 0:
        array = array.reshape(1, len(array), -1)
    parts = []
    for rows in weights.split(_BLOCK):
        used = rows.any(dim=0).nonzero()
        band = slice(int(used[0]), int(used[-1]) + 1)
        parts.append(torch.matmul(rows[:, band], array[:, band]))
    result = torch.cat(parts, dim=1)
    return result.view(-1, *rest) if axis == 0 else result


def _interpolate_freely(
    array: np.ndarray,
    to_source: np.ndarray,
    shape: tuple[int, ...],
    order: str,
    fill: float,
    sigmas: np.ndarray,
) -> np.ndarray:
    """Interpolate with any affine relation, in index space so that shears are no special case."""
    import SimpleITK as sitk  # not needed, and so not waited for, where axes are parallel

    kind = array.dtype
    array = _itk_ready(array, order)
    if sigmas.any():
        array = _interpolate_lines(array, [np.arange(n) for n in array.shape], sigmas)
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_source[:3, :3].ravel().tolist())
    transform.SetTranslation(to_source[:3, 3].tolist())
    resampled = sitk.Resample(
        image,
        [int(n) for n in shape],
        transform,
        getattr(sitk, _ITK_INTERPOLATORS[order]),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        np.eye(3).ravel().tolist(),
        float(fill),
        image.GetPixelID(),
    )
    result: np.ndarray = sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)
    return result.astype(kind, copy=False) if order == "nearest" else result


def _itk_ready(array: np.ndarray, order: str) -> np.ndarray:
    """The voxels in a type that ITK knows; float32 for everything that interpolates."""
    if order != "nearest":
        return array.astype(np.float32, copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
