"""Where windows lie, and how what they say is blended into one volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.bundles.settings import Blending, InferenceSettings
from factorizer_engine.images.geometry import common_part, in_all_channels
from factorizer_engine.images.store import IN_MEMORY, Store
from factorizer_engine.protocol.triples import triple

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Copy:
    """How a window is shown to a network once; the logits of all its copies are averaged.

    Attributes:
        flip: Axes of (B, C, X, Y, Z) along which it is mirrored.
        hidden: Numbers of the channels that are zero in it.
    """

    flip: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()

    def of(self, batch: Tensor) -> Tensor:
        """What a network sees of a batch (B, C, X, Y, Z); the batch itself if that is all."""
        if self.hidden:
            batch = batch.clone()
            batch[:, list(self.hidden)] = 0.0
        return batch.flip(self.flip) if self.flip else batch


@dataclass(frozen=True)
class WindowPlan:
    """The windows that are run over a volume, and how what they say becomes one.

    Attributes:
        shape: The volume, (X, Y, Z).
        roi_size: Size of the windows.
        before: Voxels of zeros put before the volume along each axis, where it is smaller than a
            window.
        padded: The volume with zeros around it.
        windows: Places of the windows in the padded volume.
        blending: Weight of a window's voxels where windows overlap, see `blending_weights`.
        mirror_axes: Spatial axes (0 to 2) along which windows are mirrored too, in every way.
        looks: For every look at a window the numbers of the channels that are hidden in it.
        part: The part of the volume that is asked for; all of it if None.
    """

    shape: tuple[int, int, int]
    roi_size: tuple[int, int, int]
    before: tuple[int, int, int]
    padded: tuple[int, int, int]
    windows: tuple[Box, ...]
    blending: Blending
    mirror_axes: tuple[int, ...] = ()
    looks: tuple[tuple[int, ...], ...] = ((),)
    part: Box | None = None

    @property
    def span(self) -> Box:
        """The smallest box in the padded volume that holds all windows."""
        if not self.windows:
            return (slice(0, 0),) * 3
        return triple(
            slice(min(axis.start for axis in places), max(axis.stop for axis in places))
            for places in zip(*self.windows, strict=True)
        )

    @property
    def copies(self) -> list[Copy]:
        """How every window is shown: in every look as it is, and mirrored in every way."""
        dims = [axis + 2 for axis in sorted(set(self.mirror_axes))]
        flips = [flip for count in range(len(dims) + 1) for flip in combinations(dims, count)]
        return [Copy(flip, hidden) for hidden in self.looks for flip in flips]

    def without_copies(self) -> WindowPlan:
        """The same windows, each shown once and as it is."""
        return replace(self, mirror_axes=(), looks=((),))

    def pad(self, volume: Tensor) -> Tensor:
        """(C, X, Y, Z) with zeros around it; the volume itself where none are needed."""
        if self.padded == self.shape:
            return volume
        widths = []
        for axis in (2, 1, 0):
            first = self.before[axis]
            widths += [first, self.padded[axis] - self.shape[axis] - first]
        return F.pad(volume, widths)


def plan_windows(
    volume: np.ndarray,
    settings: InferenceSettings,
    part: Box | None = None,
    quick: bool = False,
    looks: Sequence[tuple[int, ...]] = ((),),
) -> WindowPlan:
    """Lay windows over a volume as MONAI's sliding window does, leaving out the needless ones.

    Windows of nothing but zeros are left out. That changes no voxel that is nonzero in any
    channel, since all windows over such a voxel are run. Windows that do not touch `part` are
    left out as well, which changes no voxel inside it.

    Args:
        volume: (C, X, Y, Z), zero where there is no image.
        settings: Size, overlap, blending and mirroring of the windows.
        part: Part of the volume that is asked for.
        quick: Lay windows over the part and a quarter of a window around it, not over the volume.
            Those are fewer: one, if the part is at most half a window long.
        looks: Channels that are hidden in every look at a window.
    """
    roi_size = triple(int(n) for n in settings.roi_size)
    shape = triple(int(n) for n in volume.shape[1:])
    padded = triple(max(n, r) for n, r in zip(shape, roi_size, strict=True))
    before = triple((p - n) // 2 for p, n in zip(padded, shape, strict=True))
    steps = tuple(
        r if r == p else max(int(r * (1 - settings.overlap)), 1)
        for r, p in zip(roi_size, padded, strict=True)
    )
    occupied = (volume != 0).any(axis=0)
    places = list(map(_places, padded, roi_size, steps))
    if part is not None and quick:
        places = list(map(_places_around, _shifted(part, before), padded, roi_size, steps))
    windows = []
    for window in map(triple, product(*places)):
        box = triple(
            slice(max(w.start - b, 0), min(w.stop - b, n))
            for w, b, n in zip(window, before, shape, strict=True)
        )
        if (part is None or _touch(box, part)) and occupied[box].any():
            windows.append(window)
    return WindowPlan(
        shape=shape,
        roi_size=roi_size,
        before=before,
        padded=padded,
        windows=tuple(windows),
        blending=settings.blending,
        mirror_axes=tuple(settings.mirror_axes),
        looks=tuple(looks),
        part=part,
    )


def blending_weights(roi_size: Sequence[int], blending: str) -> Tensor:
    """Weight of every voxel of a window where windows overlap, float32.

    Args:
        roi_size: Voxels of a window.
        blending: "gaussian" (sigma of one eighth of the window, never below 0.001, as in MONAI) or
            "constant".
    """
    if blending not in ("gaussian", "constant"):
        raise ValueError(f"unknown blending {blending!r}")
    weights = torch.ones(())
    for length in roi_size:
        line = torch.ones(length)
        if blending == "gaussian":
            offsets = torch.arange(length) - (length - 1) / 2
            line = torch.exp(-0.5 * (offsets / (length / 8)) ** 2)
        weights = weights[..., None] * line
    return weights.clamp(min=1e-3)


class Blender:
    """Weighted average of overlapping windows, summed up where there are any.

    The sums are in float32: those of a study of 240 x 240 x 155 voxels and three regions take 0.14
    GB, which is little beside the network, and half precision would round what Gaussian weights of
    0.001 to 1 add up to.

    Args:
        plan: Where the windows lie.
        channels: Channels of the result.
        device: Where the sums are kept.
        store: In what, if on the host.

    Attributes:
        device: Where the sums are kept.
    """

    def __init__(
        self,
        plan: WindowPlan,
        channels: int,
        device: torch.device | str = "cpu",
        store: Store = IN_MEMORY,
    ) -> None:
        self.plan = plan
        self._store = store
        self.device = torch.device(device)
        self._weights = blending_weights(plan.roi_size, plan.blending).to(device)
        self._start = [axis.start for axis in plan.span]
        size = _size(plan.span)
        if self.device.type == "cpu":
            self._sum = torch.from_numpy(store.zeros((channels, *size)))
            self._total = torch.from_numpy(store.zeros(size))
        else:
            self._sum = torch.zeros(channels, *size, device=device)
            self._total = torch.zeros(size, device=device)

    @staticmethod
    def bytes_needed(plan: WindowPlan, channels: int) -> int:
        """Memory that the sums take."""
        return 4 * (channels + 1) * math.prod(_size(plan.span))

    def add(self, window: Box, values: Tensor) -> None:
        """Add what one window says, (channels, *roi_size)."""
        values = values.to(self.device, torch.float32)
        place = _shifted(window, [-start for start in self._start])
        self._sum[in_all_channels(place)].addcmul_(values, self._weights)
        self._total[place] += self._weights

    def result(self, fill: float) -> np.ndarray:
        """The blended volume, float32 (channels, X, Y, Z); may be called once.

        Args:
            fill: Value where no window was run, and outside the part that was asked for.
        """
        unseen = self._total == 0
        self._total[unseen] = 1.0
        for channel in self._sum:
            channel.div_(self._total).masked_fill_(unseen, fill)
        offsets = [b - start for b, start in zip(self.plan.before, self._start, strict=True)]
        whole = triple(slice(0, n) for n in self.plan.shape)
        summed = triple(slice(-a, n - a) for a, n in zip(offsets, self._total.shape, strict=True))
        wanted = common_part(common_part(summed, whole), self.plan.part or whole)
        found = self._sum[in_all_channels(_shifted(wanted, offsets))]
        if wanted == whole:
            return found.cpu().numpy()
        blended = self._store.zeros((len(found), *self.plan.shape))
        blended.fill(fill)
        blended[in_all_channels(wanted)] = found.cpu().numpy()
        return blended


def _places(length: int, size: int, step: int) -> list[slice]:
    """Windows of `size` along an axis, `step` apart; the last one is moved back to end with it."""
    starts = (min(start, length - size) for start in range(0, length - size + step, step))
    return [slice(start, start + size) for start in starts]


def _places_around(part: slice, length: int, size: int, step: int) -> list[slice]:
    """Windows over a part of an axis and a quarter of a window on both sides of it."""
    low, high = max(part.start - size // 4, 0), min(part.stop + size // 4, length)
    if high - low <= size:
        start = min(max((part.start + part.stop - size) // 2, 0), length - size)
        return [slice(start, start + size)]
    return [slice(low + w.start, low + w.stop) for w in _places(high - low, size, step)]


def _touch(first: Box, second: Box) -> bool:
    return 0 not in _size(common_part(first, second))


def _shifted(box: Box, offsets: Sequence[int]) -> Box:
    return triple(slice(a.start + by, a.stop + by) for a, by in zip(box, offsets, strict=True))


def _size(box: Box) -> tuple[int, ...]:
    return tuple(axis.stop - axis.start for axis in box)
