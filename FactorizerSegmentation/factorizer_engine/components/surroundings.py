"""What components may respond to: intensities, edges, places and true regions, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from factorizer_engine.images.preprocessing import Prepared
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.sequences import sequence_named

RIM_VOXELS = 2
"""So near to the rim of the head edges are not counted, since the rim itself is the strongest."""

DEPTH, SIDE, HEIGHT, FRONT, FLUID = "depth", "side", "height", "front", "fluid"
"""Places: mm below the surface of the head, to either side of its middle, above it, in front of it;
and how far a voxel looks like fluid, bright on T2 and dark on FLAIR."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Quantities of a case in model space.

    Attributes:
        intensities: By channel, as the network reads them.
        edges: By channel, the size of the gradient.
        places: See the constants of this file.
        regions: By region or class, the part of every voxel that truly belongs to it.
        head: 1 where the scans show the patient.
    """

    intensities: Mapping[str, np.ndarray]
    edges: Mapping[str, np.ndarray]
    places: Mapping[str, np.ndarray]
    regions: Mapping[str, np.ndarray]
    head: np.ndarray

    @property
    def stacked(self) -> np.ndarray:
        """All quantities in this order, float32 (K, X, Y, Z)."""
        groups = (self.intensities, self.edges, self.places, self.regions)
        return np.stack([values for group in groups for values in group.values()])


def surroundings(
    prepared: Prepared,
    model: ModelDescription,
    truth: Mapping[str, Scan],
    channels: Sequence[str] | None = None,
) -> Surroundings:
    """What is known of a labelled case.

    Args:
        prepared: The scans in model space.
        model: Whose channels, regions and labels they are.
        truth: By region, its true mask, 0 and 1, on any grid.
        channels: What the scans are in turn, if those that are missing stand there, too, as zeros;
            without any the model's.
    """
    given = [channel.name for channel in model.channels]
    in_turn = zip(channels or given, prepared.array, strict=False)
    intensities = {name: values for name, values in in_turn if name in given}
    head = (prepared.array != 0).any(axis=0)
    inner = ndimage.binary_erosion(head, iterations=RIM_VOXELS)
    edges = {
        name: np.where(inner, ndimage.gaussian_gradient_magnitude(values, 1.0), 0.0).astype("f4")
        for name, values in intensities.items()
    }
    regions = {
        name: resample(mask, prepared.grid, antialias=True).array for name, mask in truth.items()
    }
    places = _places(prepared, head, intensities)
    parts = _classes(model, regions)
    return Surroundings(intensities, edges, places, {**regions, **parts}, head.astype("f4"))


def _places(
    prepared: Prepared, head: np.ndarray, intensities: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    grid = prepared.grid
    indices = np.stack(np.meshgrid(*map(np.arange, head.shape), indexing="ij"), axis=-1)
    world = indices @ grid.affine[:3, :3].T
    world -= world[head].mean(axis=0) if head.any() else 0.0
    found = {
        DEPTH: ndimage.distance_transform_edt(head, sampling=grid.spacing),
        SIDE: np.abs(world[..., 0]),
        HEIGHT: world[..., 2],
        FRONT: world[..., 1],
    }
    by_sequence = {sequence_named(name): values for name, values in intensities.items()}
    if {"T2", "FLAIR"} <= by_sequence.keys():
        found[FLUID] = np.minimum(by_sequence["T2"], -by_sequence["FLAIR"]).clip(min=0.0)
    return {name: values.astype("f4") for name, values in found.items()}


def _classes(model: ModelDescription, regions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is left of every region beside those that are painted over it, by the class's name."""
    titles = {label.value: label.name for label in model.labels}
    classes = {}
    for region in model.regions:
        over: Sequence[np.ndarray] = [
            regions[other.name]
            for other in model.regions
            if other.lies_in(region) and other.name in regions
        ]
        if over and region.name in regions and region.label in titles:
            left = regions[region.name] - np.max(over, axis=0)
            classes[titles[region.label]] = left.clip(min=0.0)
    return classes
