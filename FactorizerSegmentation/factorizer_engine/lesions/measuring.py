"""Lesions as the connected masses in a label map, and their measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.preprocessing import foreground_box
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.diameters import axes_in_slice, largest_diameter
from factorizer_engine.lesions.places import Head, find_head
from factorizer_engine.protocol.lesions import Lesion, LesionPart
from factorizer_engine.protocol.triples import triple

if TYPE_CHECKING:
    from factorizer_engine.protocol.models import Label, Region


def find_lesions(
    labelmap: Scan,
    regions: Sequence[Region],
    labels: Sequence[Label],
    probabilities: np.ndarray | None,
    scan: Scan | None = None,
) -> list[Lesion]:
    """Measure the connected masses (26 neighbours) of all classes together, and their parts.

    Args:
        labelmap: Integer voxels, shape (I, J, K).
        regions: The network's regions, in the order of `probabilities`.
        labels: The classes; values that none of them names are passed over.
        probabilities: Shape (R, I, J, K), on the grid of the label map; None, without regions,
            where nobody computed any, as for segments drawn by hand.
        scan: Tells where in the head a lesion lies; None leaves that open.

    Returns:
        All lesions, from large to small.
    """
    members = lesion_voxels(labelmap.array, labels)
    head = find_head(scan) if scan is not None and members else None
    return [
        _lesion(number, voxels, labelmap, regions, labels, probabilities, head)
        for number, voxels in enumerate(members, start=1)
    ]


def lesion_numbers(labelmap: Scan, labels: Sequence[Label], ids: Sequence[int]) -> Scan:
    """The voxels of every lesion, as its id; uint32.

    Args:
        ids: Those of the lesions in the order of `find_lesions`.
    """
    numbers = np.zeros(labelmap.shape, np.uint32)
    for number, voxels in zip(ids, lesion_voxels(labelmap.array, labels), strict=True):
        numbers[tuple(voxels.T)] = number
    return labelmap.with_array(numbers)


def lesion_voxels(labelmap: np.ndarray, labels: Sequence[Label]) -> list[np.ndarray]:
    """The voxels (N, 3) of every lesion, in the order of `find_lesions`."""
    return sorted(_masses(labelmap, labels), key=len, reverse=True)


def _masses(labelmap: np.ndarray, labels: Sequence[Label]) -> Iterator[np.ndarray]:
    """The voxels of every connected mass, (N, 3) each, in the order of `numpy.argwhere`."""
    box = foreground_box([labelmap], margin=0)
    if box is None:
        return
    known = np.isin(labelmap[box], [label.value for label in labels])
    masses, count = cc3d.connected_components(
        np.ascontiguousarray(known), connectivity=26, return_N=True
    )
    where = np.argwhere(masses)
    mass_of = masses[tuple(where.T)]
    order = np.argsort(mass_of, kind="stable")
    sizes = np.bincount(mass_of, minlength=count + 1)[1:]
    offset = np.array([s.start for s in box])
    yield from np.split(where[order] + offset, np.cumsum(sizes)[:-1]) if count else ()


def _lesion(
    number: int,
    voxels: np.ndarray,
    labelmap: Scan,
    regions: Sequence[Region],
    labels: Sequence[Label],
    probabilities: np.ndarray | None,
    head: Head | None,
) -> Lesion:
    values = labelmap.array[tuple(voxels.T)]
    parts = []
    for label in labels:
        own = voxels[values == label.value]
        if len(own):
            likely = _of_class(label.value, own, regions, probabilities)
            measures = _measures(own, labelmap.grid, likely)
            parts.append(LesionPart(label=label.value, name=label.name, **measures))
    points = voxels @ labelmap.affine[:3, :3].T + labelmap.affine[:3, 3]
    return Lesion(
        id=number,
        centroid_ras=triple(map(float, points.mean(axis=0))),
        place=head.place_of(points) if head is not None else (),
        parts=tuple(parts),
        **_measures(voxels, labelmap.grid, _of_any(voxels, regions, probabilities)),
    )


def _of_class(
    value: int, voxels: np.ndarray, regions: Sequence[Region], probabilities: np.ndarray | None
) -> np.ndarray | None:
    """How likely voxels (N, 3) are of the class of a label value: in its region, in none inside."""
    region = next((region for region in regions if region.label == value), None)
    if region is None or probabilities is None:
        return None
    inside = _summed([r for r in regions if r.lies_in(region)], voxels, regions, probabilities)
    return np.maximum(_summed([region], voxels, regions, probabilities) - inside, 0.0)


def _of_any(
    voxels: np.ndarray, regions: Sequence[Region], probabilities: np.ndarray | None
) -> np.ndarray | None:
    """How likely voxels (N, 3) are of any class: those of the regions that are painted first."""
    if probabilities is None or not regions:
        return None
    return _summed(regions, voxels, regions, probabilities)


def _summed(
    wanted: Sequence[Region],
    voxels: np.ndarray,
    regions: Sequence[Region],
    probabilities: np.ndarray,
) -> np.ndarray:
    """How likely any of some regions holds: the outermost of them, which exclude each other."""
    first = min((region.order for region in wanted), default=0)
    maps = [probabilities[regions.index(r)] for r in wanted if r.order == first]
    values = (volume[tuple(voxels.T)].astype(np.float64) for volume in maps)
    return np.minimum(sum(values, np.zeros(len(voxels))), 1.0)


def _measures(voxels: np.ndarray, grid: Grid, likely: np.ndarray | None) -> Mapping[str, Any]:
    """The fields of `Measures`, of voxels (N, 3) and how likely each of them is."""
    long_axis, short_axis = axes_in_slice(voxels, grid.affine)
    return {
        "volume_ml": grid.volume_ml(len(voxels)),
        "max_diameter_mm": largest_diameter(voxels, grid.affine),
        "long_axis": long_axis,
        "short_axis": short_axis,
        "mean_probability": float(likely.mean()) if likely is not None else float("nan"),
    }
