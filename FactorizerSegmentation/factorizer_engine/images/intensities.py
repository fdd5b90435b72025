"""What is image and what is not: the background's value, and values that are no tissue's."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.scan import Scan

#: A constant background fills at least this part of the outer faces of a volume.
BACKGROUND_SHARE = 0.5

#: At most this many voxels are looked at.
_SAMPLED = 400_000

#: Ringing is at most this part of the brightest tissue, and of negative values at least this part.
RINGING, FAINT_SHARE = 0.1, 0.95

#: A value is an outlier if it is this many times as far from the median as nearly all voxels.
OUTLYING = 10.0


def sampled(array: np.ndarray, at_most: int = _SAMPLED) -> np.ndarray:
    """Voxels taken evenly from a volume, as one line."""
    step = max(1, round((array.size / at_most) ** (1 / 3)))
    part: np.ndarray = array[::step, ::step, ::step]
    return part.ravel()


def background_of(array: np.ndarray) -> float | None:
    """The value around the image, whatever it is, or None where it is not constant (noise).

    Args:
        array: Voxels, shape (X, Y, Z).
    """
    faces = [np.asarray(array[end]) for end in (0, -1)]
    faces += [np.asarray(array[:, end]) for end in (0, -1)]
    faces += [np.asarray(array[:, :, end]) for end in (0, -1)]
    values = np.concatenate([face.ravel() for face in faces])
    found, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    return float(found[most]) if counts[most] >= BACKGROUND_SHARE * len(values) else None


def robust_limits(array: np.ndarray, background: float | None = None) -> tuple[float, float]:
    """Between which values tissue lies; what is beyond is a defect.

    The limits are `OUTLYING` times as far from the median as 99.5 % of the voxels that are not
    background, so that a volume without defects lies within them.
    """
    values = sampled(array).astype(np.float64)
    background = background_of(array) if background is None else background
    if background is not None and (values != background).any():
        values = values[values != background]
    around = 0.0 if background is None else background
    low, middle, high = np.percentile(values, (0.25, 50, 99.75))
    reach = OUTLYING * max(high - middle, middle - low, 0.1 * abs(middle - around), 1e-12)
    return min(around, float(middle - reach)), max(around, float(middle + reach))


def mended(scan: Scan) -> Scan:
    """The scan with a background of 0, and without values that are no tissue's.

    A scan whose background is 0 already and in which no voxel lies far beyond all others comes back
    as it is. Where the background has another value, that value becomes 0; the image keeps its
    own values, but for those that happen to be 0 and would pass for background. The ringing that
    spline interpolation leaves in a background of 0 becomes 0, too.
    """
    array = scan.array
    if array.dtype == np.bool_:
        return scan
    background = background_of(array)
    low, high = robust_limits(array, background)
    if array.max() > high or array.min() < low:
        array = array.astype(np.float32)
        np.clip(array, low, high, out=array)
    if background is not None and background != 0:
        array = array.astype(np.float32)
        outside = array == np.float32(background)
        array[array == 0] = np.finfo(np.float32).tiny
        array[outside] = 0.0
    elif array.dtype.kind == "f":
        array = _without_ringing(array)
    return scan if array is scan.array else scan.with_array(array)


def _without_ringing(array: np.ndarray) -> np.ndarray:
    """The array with faint values as 0, if it has negative ones and nearly all of them are faint.

    Magnitude images have no negative values, and in standardised ones they are not faint.
    """
    values = sampled(array)
    negative = values[values < 0]
    if len(negative) < 0.01 * len(values):
        return array
    limit = RINGING * float(np.percentile(values, 99))
    if (negative > -limit).mean() < FAINT_SHARE:
        return array
    faint = float(-np.percentile(negative, 5))
    result: np.ndarray = np.where(np.abs(array) <= faint, 0, array).astype(np.float32)
    return result
