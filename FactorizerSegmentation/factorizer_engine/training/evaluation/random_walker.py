"""A random walker as the guide of clicks: what a library does without any learning from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from scipy import ndimage

from factorizer_engine.images.geometry import Grid, in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.interaction.guides import Question
from factorizer_engine.interaction.thresholding import LocalThreshold
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.progress import Monitor

_BALL_MM = 5.0
"""Around a click, voxels up to this far, but not further than what is right, are its seeds."""

_OTHER_SIDE_MM = 15.0
"""From this far on, voxels are taken as seeds of what a click does not want."""

_UNKNOWN, _CLICKED, _OTHER, _OUT = 0, 1, 2, -1
"""How scikit-image's random walker marks voxels."""


def has_random_walker() -> bool:
    """Whether scikit-image is installed."""
    return find_spec("skimage") is not None


@dataclass(frozen=True)
class RandomWalkerGuide:
    """Walks over the scans from the click and from what lies far from it.

    Grady, Random walks for image segmentation (IEEE TPAMI 28(11), 2006), as scikit-image has it,
    with its own `beta`, on the scans as the model reads them. Of a click that adds, the walk is
    over voxels outside the region; the seeds of the other side are those beyond 15 mm. Of a click
    that removes it is over voxels of the region.
    """

    settings: LocalThreshold = LocalThreshold(margin=0.0, sigma_mm=(10.0, 10.0), reach_mm=25.0)
    note: str = ""

    def probabilities(self, question: Question, monitor: Monitor) -> np.ndarray:
        """Of the click's region in the box of the question: that of the walk."""
        result, click = question.result, question.click
        wanted = question.labelmap.grid.crop(question.box)
        part = result.prepared.grid.box_of(wanted)
        grid = result.prepared.grid.crop(part)
        if 0 in grid.shape:
            return np.full(wanted.shape, 0.5, dtype=np.float32)
        scans = result.prepared.array[in_all_channels(part)]
        region = result.model.regions[question.region]
        mask = mask_of(question.labelmap.array[question.box], region, result.model.regions)
        held = resample(Scan(mask.astype(np.float32), wanted), grid, antialias=True).array >= 0.5
        seeds = _seeds(np.asarray(click.points), held == click.add, scans, grid)
        reached = _walked(scans, seeds, grid)
        probability = reached if click.add else 1 - reached
        return resample(Scan(probability, grid), wanted).array


def _seeds(points: np.ndarray, settled: np.ndarray, scans: np.ndarray, grid: Grid) -> np.ndarray:
    """Marks of the walker: where it starts, where it may not go, and what is unknown.

    Args:
        points: World coordinates of the click (N, 3).
        settled: Voxels that are as the click wants them already.
        scans: (C, X, Y, Z).
        grid: Where they lie.
    """
    places = grid.nearest_voxels(points)
    away = np.ones(grid.shape, dtype=bool)
    away[tuple(places.T)] = False
    distance = ndimage.distance_transform_edt(away, sampling=grid.spacing)
    seeds = np.full(grid.shape, _UNKNOWN, dtype=np.int8)
    seeds[(distance > _OTHER_SIDE_MM) | ~(scans != 0).any(axis=0)] = _OTHER
    seeds[distance <= min(_BALL_MM, float(distance[settled].min(initial=np.inf)))] = _CLICKED
    seeds[settled] = _OUT
    seeds[tuple(places.T)] = _CLICKED
    return seeds


def _walked(scans: np.ndarray, seeds: np.ndarray, grid: Grid) -> np.ndarray:
    """Probability (X, Y, Z), float32, that a walker from a voxel comes to the click first."""
    from skimage.segmentation import random_walker

    clicked = (seeds == _CLICKED).astype(np.float32)
    if not (seeds == _OTHER).any() or not (seeds == _UNKNOWN).any():
        return np.where(seeds == _UNKNOWN, 1, clicked).astype(np.float32)
    used = scans[scans.any(axis=(1, 2, 3))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that are not installed, of lonely voxels
        found = random_walker(
            np.moveaxis(used, 0, -1),
            seeds.copy(),
            **{"mode": "cg_j", "tol": 1e-2, "channel_axis": -1, "return_full_prob": True},
            spacing=grid.spacing,
        )
    return np.nan_to_num(np.asarray(found)[0]).astype(np.float32)
