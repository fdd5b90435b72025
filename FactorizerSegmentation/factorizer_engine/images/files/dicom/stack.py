"""From the images of a DICOM series to an even stack, or the reason why they are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from factorizer_engine.images.checks import check_affine, check_shape, check_type
from factorizer_engine.images.files.dicom.headers import Slice
from factorizer_engine.images.files.dicom.parts import same_raster
from factorizer_engine.images.files.dicom.pixels import same_pixels
from factorizer_engine.images.files.dicom.series import Series, check_is_scan
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.wording import counted

#: Slices may be this far (part of their distance) from where even spacing puts them.
SPACING_TOLERANCE = 0.05

#: Slices may lie this far (part of their distance) beside the line from the first to the last.
LINE_TOLERANCE = 0.05


def stack(series: Series) -> tuple[list[Slice], np.ndarray]:
    """The slices in order of position, and the affine to RAS mm; a tilted gantry shears it.

    Raises:
        BadInputError: If they are no single volume of grey values in an even stack, or segments.
    """
    check_is_scan(series)
    title, first = f"The DICOM series {series.title}", series.slices[0]
    if first.samples > 1:
        check_type(title, np.dtype("V3"))
    check_shape(title, (*first.shape, series.count))
    placed = _placed(title, series.slices)
    row, column = placed[0][2]
    normal = np.cross(row, column)
    placed = _without_copies(title, placed)
    placed.sort(key=lambda item: float(item[1] @ normal))
    slices = [item for item, _, _ in placed]
    positions = np.stack([position for _, position, _ in placed])
    _check_positions(title, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = row * first.spacing[0]
    affine[:3, 1] = column * first.spacing[1]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 3] = positions[0]
    affine = LPS_TO_RAS @ affine
    check_affine(title, affine)
    return slices, affine


Placed = tuple[Slice, np.ndarray, np.ndarray]
"""A slice, its position and its orientation."""


def _placed(title: str, slices: Sequence[Slice]) -> list[Placed]:
    """The slices, after making sure that all are of one size and direction."""
    placed = [
        (item, item.position, item.orientation)
        for item in slices
        if item.position is not None
        and item.orientation is not None
        and np.isfinite([*item.position, *np.ravel(item.orientation)]).all()
    ]
    if len(placed) < len(slices):
        raise BadInputError(
            f"{title} does not say where its images lie; export it with positions and orientations."
        )
    if not all(same_raster(placed[0][0], item) for item, _, _ in placed):
        raise BadInputError(
            f"{title} holds images of different size or direction; export them as separate series."
        )
    return placed


def _without_copies(title: str, placed: Sequence[Placed]) -> list[Placed]:
    """Each image once, where files lie in the folder twice."""
    found: dict[tuple[object, ...], list[Placed]] = defaultdict(list)
    for item in placed:
        found[item[0].identity].append(item)
    for (first, _, _), *others in found.values():
        for copy, _, _ in others:
            if not same_pixels(title, first, copy):
                raise BadInputError(
                    f"{title} holds two different images under one identifier "
                    f"({first.file.name} and {copy.file.name}); remove the wrong one, "
                    "or export the series again."
                )
    return _once_each(title, [copies[0] for copies in found.values()])


def _once_each(title: str, placed: Sequence[Placed]) -> list[Placed]:
    """The images, if those at one place all show the same, one of each place.

    Archives give an image that is sent to them again another identifier.
    """
    places: dict[tuple[float, ...], list[Placed]] = defaultdict(list)
    for item in placed:
        places[tuple(np.round(item[1], 2).tolist())].append(item)
    for (first, _, _), *others in places.values():
        if not all(same_pixels(title, first, other) for other, _, _ in others):
            return list(placed)
    return [images[0] for images in places.values()]


def _check_positions(title: str, positions: np.ndarray, normal: np.ndarray) -> None:
    """Make sure that slices follow each other evenly, along one straight line."""
    steps = np.diff(positions, axis=0)
    gaps = steps @ normal
    usual = float(np.median(gaps))
    if gaps.min() < 0.01:
        raise BadInputError(
            f"{title} holds several images at one place (time points, echoes, b-values or copies); "
            "export one volume only, each image once."
        )
    places = (positions - positions[0]) @ normal
    line = (positions[-1] - positions[0]) / places[-1]
    beside = np.linalg.norm(positions - positions[0] - places[:, None] * line, axis=1).max()
    if beside > max(LINE_TOLERANCE * usual, 0.01):
        raise BadInputError(
            f"{title} has slices that lie up to {beside:.1f} mm beside each other; "
            "export a series whose slices follow one line."
        )
    uneven = np.abs(places - np.linspace(0, places[-1], len(places))).max()
    if uneven <= max(SPACING_TOLERANCE * usual, 0.01):
        return
    multiples = np.round(gaps / usual)
    lacking = int(multiples.sum() - len(gaps))
    if lacking > 0 and np.abs(gaps - multiples * usual).max() <= SPACING_TOLERANCE * usual:
        raise BadInputError(
            f"{title} lacks {counted(lacking, 'slice')} between its first and "
            "last; export the complete series."
        )
    raise BadInputError(
        f"{title} has slices at unequal distances ({gaps.min():.2f} to {gaps.max():.2f} mm); "
        "export an evenly spaced series."
    )
