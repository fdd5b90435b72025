"""What a network says that is told of clicks, in one window around the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from factorizer_engine.bundles.settings import PromptSettings
from factorizer_engine.images.geometry import Grid, in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import predict_windows, sigmoid_
from factorizer_engine.inference.windows import Box, plan_windows
from factorizer_engine.interaction.strokes import Stroke, prompt_channels
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.triples import triple

SMALL_ML = 2.0
"""What a network finds to be smaller than this is small: a few hundred of its voxels."""

_PERHAPS_LARGE_ML = 6.0
"""Of what the window of the coarsest voxels finds to be larger, the others may find too little."""


def answer_to_prompts(
    segmenter: Segmenter,
    result: SegmentationResult,
    labelmap: Scan,
    clicks: Sequence[Click],
    box: Box,
    monitor: Monitor,
) -> np.ndarray:
    """Probabilities around the last of some clicks, of a network with prompt channels.

    The scans are those that the result was computed from, as they were prepared then. Where what
    is found at the last click is small, windows of finer voxels are asked, if the model has any and
    the segmentation finer voxels than the network, and answer instead as far as they reach.

    Args:
        segmenter: A model with prompt channels.
        result: Of the scans.
        labelmap: The segmentation that is corrected, on the grid of the result.
        clicks: All of them.
        box: The part of the result's grid that is asked for.

    Returns:
        float32, (R, *box), in the order of the regions of the result. Beyond all windows nobody was
        asked, so there it is as the segmentation says: 1 or 0.
    """
    segmenter = segmenter.that_gave(result)
    prompts = segmenter.bundle.prompts
    assert prompts is not None
    wanted, regions = labelmap.grid.crop(box), result.model.regions
    held = np.stack([mask_of(labelmap.array[box], region, regions) for region in regions])

    def asked(zooms: Sequence[float]) -> list[np.ndarray]:
        question = segmenter, result, labelmap, clicks
        return [_logits_around(*question, zoom, wanted, monitor) for zoom in sorted(zooms)]

    usual = asked([zoom for zoom in prompts.zooms if zoom >= 1])
    answered = _together(usual, held)
    finer = [zoom for zoom in prompts.zooms if zoom < 1]
    if not finer or wanted.voxel_ml >= np.prod(_network_spacing(segmenter, result)) / 1000:
        return answered
    number = [region.name for region in regions].index(clicks[-1].region)
    least = segmenter.bundle.inference.threshold
    coarsest = _together(usual[-1:], held)
    for found, limit in ((answered, SMALL_ML), (coarsest, _PERHAPS_LARGE_ML)):
        if _clicked_ml(found[number] > least, wanted, clicks[-1]) >= limit:
            return answered
    return _together(asked(finer), answered)


def _network_spacing(segmenter: Segmenter, result: SegmentationResult) -> Sequence[float]:
    """The voxel size in mm that the network has learned with."""
    return segmenter.bundle.preprocessing.spacing or result.prepared.grid.spacing


def _together(windows: Sequence[np.ndarray], otherwise: np.ndarray) -> np.ndarray:
    """Probabilities by the mean of logits (R, X, Y, Z) of windows, NaN beyond each."""
    known = np.isfinite(windows)
    total = np.where(known, windows, 0).sum(axis=0, dtype=np.float32)
    probabilities = sigmoid_(total / np.maximum(known.sum(axis=0), 1))
    return np.where(known.any(axis=0), probabilities, otherwise).astype(np.float32)


def _clicked_ml(found: np.ndarray, grid: Grid, click: Click) -> float:
    """How much the pieces of a mask hold in which a click lies."""
    pieces, _count = ndimage.label(found)
    places = grid.nearest_voxels(np.asarray(click.points))  # every second voxel may be missing
    sizes, clicked = np.bincount(pieces.ravel()), np.unique(pieces[tuple(places.T)])
    return grid.volume_ml(int(sizes[clicked[clicked > 0]].sum()))


def _logits_around(
    segmenter: Segmenter,
    result: SegmentationResult,
    labelmap: Scan,
    clicks: Sequence[Click],
    zoom: float,
    wanted: Grid,
    monitor: Monitor,
) -> np.ndarray:
    """Logits of the regions (R, X, Y, Z) on a grid, of one window; NaN beyond it.

    A window that is larger by `zoom` sees more with coarser voxels, as in nnInteractive (Isensee et
    al., arXiv:2503.08373, section 3, "AutoZoom").
    """
    bundle, prepared = segmenter.bundle, result.prepared
    assert bundle.prompts is not None
    center = prepared.grid.indices_of(np.asarray(clicks[-1].points)).mean(axis=0)
    own = prepared.grid.spacing
    voxel = [zoom * length for length in _network_spacing(segmenter, result)]
    counts = zip(bundle.inference.roi_size, voxel, own, strict=True)
    size = [round(n * length / kept) for n, length, kept in counts]
    window = _window_at(center, size, prepared.grid.shape)
    fine = prepared.grid.crop(window)
    grid = fine.respaced(triple(voxel))
    scans = [
        resample(Scan(channel, fine), grid, antialias=True).array
        for channel in prepared.array[: len(bundle.description.channels)][in_all_channels(window)]
    ]
    settings = replace(bundle.prompts, radius_mm=zoom * bundle.prompts.radius_mm)
    prompts = _prompts(clicks, labelmap, bundle.description.regions, grid, settings)
    volume = np.concatenate([np.stack(scans), prompts])
    plan = plan_windows(volume, bundle.inference)
    logits = predict_windows(segmenter.ensemble(), volume, plan, monitor=monitor)
    maps = logits[result.outputs]
    return np.stack([resample(Scan(map_, grid), wanted, fill=np.nan).array for map_ in maps])


def _prompts(
    clicks: Sequence[Click],
    labelmap: Scan,
    regions: Sequence[Region],
    grid: Grid,
    settings: PromptSettings,
) -> np.ndarray:
    """The prompt channels of a window on `grid`."""
    names = [region.name for region in regions]
    strokes = [
        Stroke(names.index(c.region), grid.indices_of(np.asarray(c.points)), c.add) for c in clicks
    ]
    part = labelmap.grid.box_of(grid)
    around = Scan(labelmap.array[part], labelmap.grid.crop(part))
    masks = [mask_of(around.array, region, regions).astype(np.float32) for region in regions]
    coarse = [resample(Scan(mask, around.grid), grid, antialias=True).array for mask in masks]
    shares = np.stack(coarse) >= 0.5
    return prompt_channels(strokes, shares, len(regions), grid.shape, grid.spacing, settings)


def _window_at(center: np.ndarray, size: Sequence[int], shape: Sequence[int]) -> Box:
    """A window around a voxel, moved into the volume; all of an axis that is shorter than it."""
    starts = [
        int(np.clip(round(c - n / 2), 0, max(length - n, 0)))
        for c, n, length in zip(center, size, shape, strict=True)
    ]
    return triple(
        slice(start, min(start + n, length))
        for start, n, length in zip(starts, size, shape, strict=True)
    )
