"""Is this scan usable, and do these scans belong together? One plain sentence if not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from factorizer_engine.images.geometry import overlap_fraction, same_grid
from factorizer_engine.images.memory import available_memory
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Channel

#: More voxels than any clinical scan has (512 x 512 x 2048).
MAX_VOXELS = 2**29

#: What reading and preparing one scan takes at most: its file, a float32 copy and a boolean mask.
BYTES_PER_VOXEL = 16

#: Of so many voxels along each axis one is compared before all are.
_FEW = 8

#: A channel must cover at least this part of the reference scan.
MIN_OVERLAP = 0.05


def check_scan(scan: Scan) -> None:
    """Make sure that a scan can be segmented.

    Raises:
        BadInputError: If it is not a three-dimensional volume of finite real numbers in a proper
            place, is too large, or has the same value everywhere.
    """
    name = scan.name or "The scan"
    check_shape(name, scan.shape)
    check_type(name, scan.array.dtype)
    check_affine(name, scan.affine)
    check_finite(name, scan.array)
    if scan.array.min() == scan.array.max():
        raise BadInputError(
            f"{name} has the same value in every voxel; choose a scan that shows something."
        )


def check_shape(name: str, shape: Sequence[int]) -> None:
    """Make sure that `shape` is that of one volume that fits into memory; needs only the header.

    Raises:
        BadInputError: If not.
    """
    size = " x ".join(str(int(n)) for n in shape)
    if len(shape) > 3:
        raise BadInputError(
            f"{name} holds several volumes ({size}); give one file for each sequence or time point."
        )
    if any(n < 1 for n in shape):
        raise BadInputError(f"{name} holds no voxels ({size}); export it again.")
    if len(shape) < 3 or min(shape) < 2:
        raise BadInputError(
            f"{name} holds a single slice ({size}); a volume of several slices is needed."
        )
    voxels = int(np.prod([int(n) for n in shape], dtype=np.float64))
    if voxels > MAX_VOXELS:
        raise BadInputError(
            f"{name} is too large ({size} voxels); crop it or resample it to larger voxels."
        )
    free = available_memory()
    if voxels * BYTES_PER_VOXEL > free:
        raise BadInputError(
            f"{name} ({size} voxels) needs about {voxels * BYTES_PER_VOXEL / 1e9:.1f} GB of memory "
            f"but {free / 1e9:.1f} GB are free; close other programs, or crop the scan."
        )


def check_type(name: str, dtype: np.dtype) -> None:
    """Make sure that voxels are single real numbers.

    Raises:
        BadInputError: If they are colours, vectors or complex numbers.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise BadInputError(
            f"{name} has several values per voxel (colours, vectors, time points or complex "
            "numbers); export a single volume of grey values."
        )


def check_affine(name: str, affine: np.ndarray) -> None:
    """Make sure that an affine places voxels in the world.

    Raises:
        BadInputError: If voxels have no size, or one beyond a kilometre, or the axes do not span
            space.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise BadInputError(
            f"{name} does not say where its voxels lie (its orientation holds no numbers); "
            "export it again."
        )
    with np.errstate(over="ignore"):
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if np.max(np.abs(matrix[:3])) > 1e6:
        raise BadInputError(
            f"{name} lies more than a kilometre away or has voxels of that size; "
            "correct its header or export it again."
        )
    if np.min(spacing) < 1e-6:
        raise BadInputError(
            f"{name} has a voxel size of zero; "
            "correct the spacing in its header or export it again."
        )
    if abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-4:
        raise BadInputError(
            f"{name} has axes that do not span space (its orientation matrix is singular); "
            "export it again."
        )
    if not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise BadInputError(
            f"{name} does not say where its voxels lie (the last row of its orientation matrix is "
            "not 0 0 0 1); export it again."
        )


def check_finite(name: str, array: np.ndarray) -> None:
    """Make sure that no voxel is NaN or infinite.

    Raises:
        BadInputError: If one is.
    """
    if array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64)):
        return
    count = int(array.size - np.isfinite(array).sum())
    if count:
        which = "1 voxel that is" if count == 1 else f"{count} voxels that are"
        raise BadInputError(
            f"{name} has {which} no finite number (NaN or infinite); "
            "give it another value, for example 0, and try again."
        )


def check_channels(
    scans: Mapping[str, Scan], channels: Sequence[Channel], reference: str | None = None
) -> dict[str, Scan]:
    """Make sure that scans are channels of a model, in one place, each given once.

    Args:
        scans: Scan by channel name; aliases and other capitals are understood.
        channels: The model's channels, in network order.
        reference: Name of the channel on whose grid results are written; by default the first of
            those that are given.

    Returns:
        The scans by the model's own channel names, in network order.

    Raises:
        BadInputError: If a channel is unknown or given twice, the reference is not given, or if a
            scan is unusable in itself, does not overlap the reference, or is the very image of
            another channel.
    """
    by_name = _by_channel(scans, channels)
    for scan in by_name.values():
        check_scan(scan)
    if not by_name:
        raise BadInputError("No scan is given; give at least one.")
    reference_name = reference_among(by_name, channels, reference)
    grid = by_name[reference_name].grid
    for name, scan in by_name.items():
        covered = overlap_fraction(grid, scan.grid)
        if covered < MIN_OVERLAP:
            how = "does not overlap" if covered == 0 else "hardly overlaps"
            raise BadInputError(
                f"The {name} scan {how} the {reference_name} scan in space; "
                "choose scans of the same study, or register them first."
            )
    for first, second in combinations(by_name, 2):
        if _same_image(by_name[first], by_name[second]):
            raise BadInputError(
                f"The {first} and {second} scans are the same image; choose the right one for each."
            )
    return by_name


def reference_among(
    given: Collection[str], channels: Sequence[Channel], name: str | None = None
) -> str:
    """The channel on whose grid results are written: the one called `name`, else the first given.

    Args:
        given: Names of the channels that are given, at least one.
        channels: The model's channels, in network order.

    Raises:
        BadInputError: If there is no such channel, or it is not given.
    """
    if name is None:
        return next(channel.name for channel in channels if channel.name in given)
    found = channel_named(name, channels)
    if found not in given:
        raise BadInputError(
            f"Results cannot be written on the grid of {found}, which is left out; "
            f"choose {' or '.join(c.name for c in channels if c.name in given)} as the reference."
        )
    return found


def channel_named(name: str, channels: Sequence[Channel]) -> str:
    """The name of the channel that is called `name` by name or alias, in any capitals.

    Raises:
        BadInputError: If no channel is.
    """
    wanted = name.casefold()
    for channel in channels:
        if channel.name.casefold() == wanted:
            return channel.name
    for channel in channels:
        if wanted in (alias.casefold() for alias in channel.aliases):
            return channel.name
    known = ", ".join(channel.name for channel in channels)
    raise BadInputError(f"The model has no channel named {name}; its channels are {known}.")


def _by_channel(scans: Mapping[str, Scan], channels: Sequence[Channel]) -> dict[str, Scan]:
    """The scans under the model's own channel names, in network order."""
    given: dict[str, Scan] = {}
    for key, scan in scans.items():
        name = channel_named(key, channels)
        if name in given:
            raise BadInputError(f"The {name} scan is given twice; give one scan for each channel.")
        given[name] = scan
    return {channel.name: given[channel.name] for channel in channels if channel.name in given}


def _same_image(first: Scan, second: Scan) -> bool:
    if not same_grid(first.grid, second.grid):
        return False
    few = (slice(None, None, _FEW),) * 3  # tell most images apart
    return np.array_equal(first.array[few], second.array[few]) and np.array_equal(
        first.array, second.array
    )
