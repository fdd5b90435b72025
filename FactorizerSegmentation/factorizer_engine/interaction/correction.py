"""A segmentation that is corrected click by click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from factorizer_engine.images.distances import distance_to
from factorizer_engine.images.geometry import Grid, same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.inference.windows import Box
from factorizer_engine.interaction.guides import Guide, Question
from factorizer_engine.interaction.thinning import logits_around
from factorizer_engine.interaction.thresholding import box_around, moved_by_click
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.nesting import mask_of, value_around, values_of
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.wording import enumerated

_FEW = 16
"""Up to so many places are quicker gone through one by one than by a distance transform."""

_FEW_SLICES = 16
"""The same of slices; a transform takes as long as two or three dozen of them."""


@dataclass(frozen=True)
class _Answered:
    """A click that was answered, and what was there before.

    Attributes:
        click: The click.
        voxels: The voxels that were clicked (N, 3).
        box: The part of the label map that may have changed.
        before: The label map there, before.
    """

    click: Click
    voxels: np.ndarray
    box: Box
    before: np.ndarray


class Correction:
    """A label map on the grid of a result, and the clicks that correct it.

    Clicks are answered one after the other, and only in a window around each: voxels further away
    stay as they are, bit for bit. The clicked voxels are in the region afterwards, or out of it,
    and no later click changes that; between clicks that want the opposite the nearer one decides.
    A click on what is right already changes nothing; others change only what is connected to them,
    and only as they say, so that outlines which they do not concern keep their detail, as with the
    progressive merge of FocalClick (Chen et al., CVPR 2022, arXiv:2204.02574, section 3.3).

    Args:
        result: Of the scans that are looked at.
        threshold: Probability from which a region holds.
        guide: Who is asked about the surroundings of a click.
        start: Label map to begin with, of the model's values; by default that of the result.

    Attributes:
        labelmap: The segmentation so far.

    Raises:
        BadInputError: If the start lies on another grid or has values that the model does not know.
    """

    def __init__(
        self,
        result: SegmentationResult,
        threshold: float,
        guide: Guide,
        start: Scan | None = None,
    ) -> None:
        self._result, self._guide = result, guide
        self._threshold = float(logit(np.float32(threshold)))
        if start is not None:
            _check_start(start, result)
        begin = result.labelmap if start is None else start
        self.labelmap = replace(result.labelmap, array=begin.array.astype(np.uint8, order="F"))
        self._answered: list[_Answered] = []

    @property
    def note(self) -> str:
        """How clicks are answered, for people, or ""."""
        return self._guide.note

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Those that were answered, oldest first."""
        return tuple(answered.click for answered in self._answered)

    def answer(self, click: Click, monitor: Monitor | None = None) -> None:
        """Change the label map as a click says.

        Raises:
            BadInputError: If the click lies outside the scan, contradicts an earlier one, or is on
                a region that is not looked for in these scans.
            CancelledError: If the monitor was cancelled; the click is not answered then.
        """
        regions, grid = self._result.model.regions, self.labelmap.grid
        region = self._region(click)
        voxels = _voxels_of(click, grid)
        for other in self._answered:
            _check_contradiction(click, voxels, other, regions)
        if (mask_of(self.labelmap.array[tuple(voxels.T)], region, regions) == click.add).all():
            nowhere = (slice(0, 0),) * 3
            self._answered.append(_Answered(click, voxels, nowhere, self.labelmap.array[nowhere]))
            return
        settings = self._guide.settings
        box = box_around(voxels, settings.reach_mm, grid.spacing, grid.shape)
        part = self.labelmap.array[box]
        start = [axis.start for axis in box]
        places = voxels - start
        distance = _distance(places, part.shape, grid.spacing)
        question = Question(
            self._result,
            self.labelmap,
            (*self.clicks, click),
            box,
            self._threshold,
            places,
            distance,
        )
        logits, mask = logits_around(self._guide, question, monitor or Monitor()), question.mask
        opposite = [a.voxels - start for a in self._answered if _oppose(click, a.click, regions)]
        is_nearest = partial(_is_nearest, distance, opposite, grid.spacing)
        changed = moved_by_click(logits, mask, places, distance, click.add, is_nearest, settings)
        self._answered.append(_Answered(click, voxels, box, part.copy(order="F")))
        part[changed] = region.label if click.add else value_around(region, regions)

    def undo(self) -> None:
        """Take the last click back."""
        last = self._answered.pop()
        self.labelmap.array[last.box] = last.before

    def become(self, clicks: Sequence[Click], monitor: Monitor | None = None) -> None:
        """Undo and answer clicks until these are the ones that were answered.

        Raises:
            BadInputError: As `answer`; clicks before the one that is refused were answered then.
        """
        common = 0
        for own, wanted in zip(self.clicks, clicks, strict=False):
            if own != wanted:
                break
            common += 1
        while len(self._answered) > common:
            self.undo()
        for click in clicks[common:]:
            self.answer(click, monitor)

    def _region(self, click: Click) -> Region:
        for region in self._result.model.regions:
            if region.name == click.region:
                return region
        known = enumerated([region.name for region in self._result.model.regions], "or")
        raise BadInputError(
            f"{click.title} is on a region that {self._result.model.title} does not look for in "
            f"these scans; choose {known}."
        )


def _is_nearest(
    distance: np.ndarray, others: Sequence[np.ndarray], spacing: Sequence[float], part: Box
) -> np.ndarray:
    """Where, in a part of a block, all of other places (N, 3) each are further than `distance`."""
    own = distance[part]
    nearest, reach = np.ones(own.shape, dtype=bool), own.max() / spacing
    for places in others:
        offsets = places - [axis.start for axis in part]
        close = ((offsets >= -reach) & (offsets <= own.shape + reach)).all(axis=1)
        if close.any():
            nearest &= _distance(offsets[close], own.shape, spacing) > own
    return nearest


def _distance(places: np.ndarray, shape: Sequence[int], spacing: Sequence[float]) -> np.ndarray:
    """Distance (mm) of the voxels of a block to the nearest of places (N, 3), inside it or not.

    A scribble lies in one slice or a few, where people draw: to those the distance is told within
    slices, which are soon transformed, and across them.
    """
    levels = [np.unique(along) for along in places.T]
    axis = int(np.argmin([len(found) for found in levels]))
    if len(levels[axis]) > _FEW_SLICES:
        return _transformed(places, shape, spacing)
    nearest = np.full(shape, np.inf, dtype=np.float32)
    across = np.moveaxis(nearest, axis, 0)
    sizes, tick = np.delete(spacing, axis).tolist(), np.arange(shape[axis])
    for level in levels[axis]:
        flat = np.delete(places[places[:, axis] == level], axis, axis=1)
        squares = _squared_in_plane(flat, across.shape[1:], sizes)
        further = (((tick - level) * spacing[axis]) ** 2).astype(np.float32)
        np.minimum(across, squares + further[:, None, None], out=across)
    return np.sqrt(nearest)


def _squared_in_plane(
    places: np.ndarray, shape: Sequence[int], spacing: Sequence[float]
) -> np.ndarray:
    """Squared distance (mm) of the pixels of a slice to the nearest of places (N, 2)."""
    if len(places) > _FEW:
        return _transformed(places, shape, spacing) ** 2
    first, second = (
        (((np.arange(count) - along[:, None]) * size) ** 2).astype(np.float32)
        for count, along, size in zip(shape, places.T, spacing, strict=True)
    )
    return (first[:, :, None] + second[:, None]).min(axis=0)


def _transformed(places: np.ndarray, shape: Sequence[int], spacing: Sequence[float]) -> np.ndarray:
    """Distance of a block to places, by a transform of what holds both."""
    low = np.minimum(places.min(axis=0), 0)
    mask = np.zeros(np.maximum(places.max(axis=0) + 1, shape) - low, dtype=bool)
    mask[tuple((places - low).T)] = True
    block = tuple(slice(-start, -start + n) for start, n in zip(low, shape, strict=True))
    return distance_to(mask, spacing)[block]


def _voxels_of(click: Click, grid: Grid) -> np.ndarray:
    """The voxels (N, 3) that hold the points of a click.

    Raises:
        BadInputError: If one of them lies outside the grid.
    """
    voxels = np.rint(grid.indices_of(np.asarray(click.points))).astype(int)
    if ((voxels < 0) | (voxels >= grid.shape)).any():
        raise BadInputError(
            f"{click.title} lies outside the scan, which covers {grid.extent}; click inside it."
        )
    return np.unique(voxels, axis=0)


def _oppose(click: Click, other: Click, regions: Sequence[Region]) -> bool:
    """Whether no voxel can be as both clicks want it."""
    by_name = {region.name: region for region in regions}
    one, two = by_name[click.region], by_name[other.region]
    if click.add and other.add:
        return one.name != two.name and one.order == two.order
    if click.add == other.add:
        return False
    inner, outer = (one, two) if click.add else (two, one)  # added to, and removed from
    return inner.label in values_of(outer, regions)


def _check_contradiction(
    click: Click, voxels: np.ndarray, other: _Answered, regions: Sequence[Region]
) -> None:
    shared = {*map(tuple, voxels.tolist())} & {*map(tuple, other.voxels.tolist())}
    if shared and _oppose(click, other.click, regions):
        raise BadInputError(
            f"{click.title} contradicts an earlier one in the same voxel, which "
            f"{other.click.verb} {other.click.region}; take that one "
            "back, or click beside it."
        )


def _check_start(start: Scan, result: SegmentationResult) -> None:
    if not same_grid(start.grid, result.labelmap.grid):
        raise BadInputError(
            f"{start.name or 'The segmentation'} to start from lies on another grid than the scan; "
            "export or resample it onto that of the reference scan."
        )
    known = {label.value for label in result.model.labels}
    unknown = sorted(_values(start.array) - known - {0})
    if unknown:
        values = ", ".join(map(str, sorted(known)))
        raise BadInputError(
            f"{start.name or 'The segmentation'} to start from holds the value {unknown[0]:g}, "
            f"which {result.model.title} does not give with these scans; it gives {values}."
        )


def _values(array: np.ndarray) -> set[float]:
    if array.dtype == np.uint8:  # many times as fast
        return set(np.flatnonzero(np.bincount(array.ravel(order="K"))).tolist())
    return set(np.unique(array).tolist())
