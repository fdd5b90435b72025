"""From scans to the array that a network reads, and from its probabilities back to the scan.

The same `Preprocessor` serves training and inference, so that a network sees the same kind of image
in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from factorizer_engine.factorization.threads import run_in_threads
from factorizer_engine.images.geometry import Grid, common_part
from factorizer_engine.images.intensities import mended
from factorizer_engine.images.orientation import upside_down
from factorizer_engine.images.resampling import only_changes_place, resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.images.store import IN_MEMORY, Store
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.triples import triple

if TYPE_CHECKING:
    from factorizer_engine.bundles.settings import Preprocessing

_SLAB = 64
"""Slices of a volume that are interpolated together where memory is short."""

_PART = 2**16
"""Voxels that are normalised together, so that they stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Scans brought into a model's space.

    Attributes:
        array: float32, shape (C, X, Y, Z), one channel per scan, on `grid`.
        grid: Where the voxels of `array` lie.
        reference: Grid of the reference scan; results are written on it.
        cropped: The part of the patient that `array` covers, at the resolution of the reference.
    """

    array: np.ndarray
    grid: Grid
    reference: Grid
    cropped: Grid

    def needed_for(self, part: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
        """The block of `array` from which a block of the reference is interpolated."""
        ends = np.array(list(product(*((axis.start, axis.stop - 1) for axis in part))))
        affine = self.reference.affine
        indices = self.grid.indices_of(ends @ affine[:3, :3].T + affine[:3, 3])
        low = np.clip(np.floor(indices.min(axis=0)), 0, self.grid.shape).astype(int)
        high = np.clip(np.ceil(indices.max(axis=0)) + 1, low, self.grid.shape).astype(int)
        return triple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


class Preprocessor:
    """Brings scans into a model's space, and probabilities back.

    In this order: a background that is not zero becomes zero, and single voxels far beyond all
    others are clipped where a model counts nonzero voxels only (see `images.intensities`); axes of
    the reference grid are permuted and flipped to the model's orientation (a sheared grid is
    straightened); it is cropped to the foreground, where any channel is nonzero, plus a margin,
    with zeros where that reaches beyond the scan, so that empty voxels around it change nothing;
    every channel is normalised by its own voxels there; and these are resampled in physical space
    to the model's spacing, smoothed first along axes that become coarser (see
    `images.resampling.resample`). So voxels are interpolated once. Oblique scans keep their axes.

    Args:
        preprocessing: Spacing, orientation, margin (in voxels of the reference scan) and
            normalisation of the model.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def prepare(
        self,
        scans: Sequence[Scan | None],
        reference: Scan,
        store: Store = IN_MEMORY,
        turned_up: bool = False,
    ) -> Prepared:
        """Bring `scans`, in the model's channel order, into model space.

        Args:
            scans: One scan per channel, on any grids; None where a channel was not taken, which
                is zero then and decides nothing.
            reference: The scan whose grid results will be written on; usually one of `scans`.
            store: Where whole volumes are kept.
            turned_up: Take as up what the scans call down; places in the world stay as they are.

        Raises:
            BadInputError: If no scan has a nonzero voxel on the reference grid, or one holds
                numbers too large to compute with.
        """
        settings = self.preprocessing
        orientation = settings.orientation
        codes = upside_down(orientation) if turned_up else orientation
        grid = reference.grid.oriented(codes).straightened()
        given = {index: scan for index, scan in enumerate(scans) if scan is not None}
        if settings.normalization == "zscore_nonzero":  # others do not tell background from image
            given = {i: _kept(mended(scan), scan, store) for i, scan in given.items()}
        placed = {i: _kept(resample(s, grid, "nearest"), s, store) for i, s in given.items()}
        box = foreground_box([scan.array for scan in placed.values()], margin=0)
        if box is None:
            raise BadInputError(
                f"The scans hold no image where {reference.name or 'the reference scan'} lies; "
                "check that they belong to the same patient and study."
            )
        margin = settings.crop_margin
        cropped = grid.crop(triple(slice(a.start - margin, a.stop + margin) for a in box))
        target = cropped.respaced(settings.spacing) if settings.spacing else cropped
        array = store.zeros((len(scans), *target.shape))

        def fill(index: int) -> None:
            scan = given[index]
            if only_changes_place(scan.grid, grid):
                volume, place = np.pad(placed[index].array[box], margin), cropped
            else:
                part = _box_around(scan.grid, cropped)
                volume, place = scan.array[part], scan.grid.crop(part)
            channel = Scan(normalize(volume, settings.normalization), place)
            array[index] = resample(channel, target, antialias=True).array
            if not np.isfinite(array[index].sum(dtype=np.float64)):
                raise BadInputError(
                    f"{scan.name or 'A scan'} holds numbers too large to compute with; "
                    "export it again, in units of 0 to some thousands."
                )

        _each(fill, given, store)
        return Prepared(array, target, reference.grid, cropped)

    def restore(
        self,
        probabilities: np.ndarray,
        prepared: Prepared,
        within: tuple[slice, slice, slice] | None = None,
        store: Store = IN_MEMORY,
    ) -> np.ndarray:
        """Bring maps from model space back onto the reference grid, linearly interpolated.

        One map after the other, so that beside the result only one map at a time is held.

        Args:
            probabilities: Shape (R, X, Y, Z), any floating type, on `prepared.grid`.
            prepared: What `prepare` returned for these scans.
            within: Block of the reference to which the result is confined, by default all of it.
            store: Where the result is kept.

        Returns:
            float32, shape (R, I, J, K) of the reference; zero outside the cropped part.
        """
        reference = prepared.reference
        box = reference.box_of(prepared.cropped)
        if within is not None:
            box = common_part(box, within)
        restored = store.zeros((len(probabilities), *reference.shape))
        if 0 in reference.crop(box).shape:
            return restored
        parts = _slabs(box) if store.on_disk else [box]

        def fill(index: int) -> None:
            for part in parts:
                volume, onto = Scan(probabilities[index], prepared.grid), reference.crop(part)
                restored[index][part] = resample(volume, onto).array

        _each(fill, range(len(probabilities)), store)
        return restored


def _each(function: Callable[[int], object], volumes: Iterable[int], store: Store) -> None:
    """`function` of volumes by number, side by side unless memory is short."""
    if store.on_disk:
        for volume in volumes:
            function(volume)
    else:
        run_in_threads(function, volumes)


def _kept(new: Scan, old: Scan, store: Store) -> Scan:
    """A scan made of another one; where it is no view of that, its voxels go into the store."""
    if np.may_share_memory(new.array, old.array):
        return new
    return replace(new, array=store.kept(new.array))


def _slabs(box: tuple[slice, slice, slice]) -> list[tuple[slice, slice, slice]]:
    """A block cut across its first axis, since interpolation holds several copies at a time."""
    first, *others = box
    starts = range(first.start, first.stop, _SLAB)
    return [triple([slice(at, min(at + _SLAB, first.stop)), *others]) for at in starts]


def _box_around(grid: Grid, part: Grid) -> tuple[slice, slice, slice]:
    """The voxels of `grid` from which all of `part` can be interpolated."""
    box = grid.box_of(part)
    return triple(
        slice(max(axis.start - 1, 0), min(axis.stop + 1, count))
        for axis, count in zip(box, grid.shape, strict=True)
    )


def foreground_box(
    channels: Sequence[np.ndarray], margin: int
) -> tuple[slice, slice, slice] | None:
    """The box around all voxels that are nonzero in any channel, grown by `margin` voxels.

    Args:
        channels: Arrays of one shape (X, Y, Z).
        margin: Voxels added on each side, as far as the volume reaches.

    Returns:
        Slices along the three axes, or None if every voxel is zero.
    """
    used = [np.zeros(n, dtype=bool) for n in channels[0].shape]
    for channel in channels:
        # The axes from far to near in memory; the other way round this takes ten times as long.
        order = np.argsort([-abs(stride) for stride in channel.strides], kind="stable")
        occupied = channel.transpose(order)
        occupied = occupied if occupied.dtype == bool else occupied != 0
        plane = np.asarray(occupied.any(axis=0))
        lines = (occupied.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
        for axis, line in zip(order, lines, strict=True):
            used[axis] |= line
    if not used[0].any():
        return None
    box = []
    for line in used:
        indices = np.flatnonzero(line)
        low = max(int(indices[0]) - margin, 0)
        high = min(int(indices[-1]) + 1 + margin, len(line))
        box.append(slice(low, high))
    return triple(box)


def normalize(volume: np.ndarray, method: str) -> np.ndarray:
    """Scale the intensities of one channel.

    Args:
        volume: Voxels, shape (X, Y, Z).
        method: "zscore_nonzero" (mean 0 and standard deviation 1 over nonzero voxels; zeros stay
            zero), "zscore" (over all voxels) or "none".

    Returns:
        float32, the same shape. Where all voxels that count are equal, they become 0.
    """
    with np.errstate(over="ignore"):  # `prepare` refuses what becomes infinite
        volume = volume.astype(np.float32)
    if method == "none":
        return volume
    if method not in ("zscore", "zscore_nonzero"):
        raise ValueError(f"unknown normalisation {method!r}")
    line = torch.from_numpy(volume.ravel(order="K"))  # in memory order, so without a copy
    parts, all_count = line.split(_PART), method == "zscore"
    count = sum(part.numel() if all_count else int(part.count_nonzero()) for part in parts)
    if count == 0:
        return volume
    mean = sum(float(part.sum(dtype=torch.float64)) for part in parts) / count
    norms = []
    for part in parts:
        counted = torch.ones((), dtype=torch.bool) if all_count else part != 0
        part.sub_(mean).mul_(counted)
        norms.append(float(torch.linalg.vector_norm(part, dtype=torch.float64)))
    deviation = math.hypot(*norms) / math.sqrt(count)
    line.div_(deviation if deviation > 0 else 1.0)
    return volume
