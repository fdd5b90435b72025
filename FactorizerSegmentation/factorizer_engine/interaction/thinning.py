"""Clicks on scans of fine voxels, answered for some of the voxels and interpolated between them.

What is asked about a click lies within 40 mm of it: half a million voxels of 1 mm, but eight times
as many of 0.5 mm, and as much more work, while neither a network that sees 1.5 mm nor what looks
alike tells more of them. So where a block has too many voxels, the question is put for every
second one along its finest axes, or fewer; how long an answer takes is bounded by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from factorizer_engine.images.geometry import Grid, in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.inference.windows import Box
from factorizer_engine.interaction.guides import Guide, Question
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.triples import triple

_MOST_VOXELS = 700_000
"""That a guide is asked about; a click on voxels of 1 mm has 531,441 around it."""


def logits_around(guide: Guide, question: Question, monitor: Monitor) -> np.ndarray:
    """Logits of the click's region in the box of the question, 0 at the threshold."""
    steps = steps_for([axis.stop - axis.start for axis in question.box], question.spacing)
    if max(steps) == 1:
        return logit(guide.probabilities(question, monitor)) - question.threshold
    asked = thinned(question, steps)
    logits = logit(guide.probabilities(asked, monitor)) - question.threshold
    widened = triple(slice(axis.start - 1, axis.stop + 1) for axis in asked.box)
    found = Scan(np.pad(logits, 1, mode="edge"), asked.labelmap.grid.crop(widened))
    return resample(found, question.labelmap.grid.crop(question.box)).array


def steps_for(shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, int, int]:
    """Of how many voxels of a block one is asked about, along each axis: the finest go first."""
    steps = np.ones(3, dtype=int)
    while np.prod(-(-np.asarray(shape) // steps)) > _MOST_VOXELS:
        steps[np.argmin(steps * spacing)] += 1
    return triple(int(step) for step in steps)


def thinned(question: Question, steps: Sequence[int]) -> Question:
    """The question for every so many voxels, those that were clicked first among them."""
    starts = [axis.start for axis in question.box]
    offsets = (question.places[0] + starts) % steps
    lattice = triple(
        slice(int(offset), None, step) for offset, step in zip(offsets, steps, strict=True)
    )
    box = triple(
        slice(-(-(axis.start - part.start) // step), -(-(axis.stop - part.start) // step))
        for axis, part, step in zip(question.box, lattice, steps, strict=True)
    )
    inside = triple(
        slice(int(first), None, step)
        for first, step in zip((offsets - starts) % steps, steps, strict=True)
    )
    distance = question.distance[inside]
    places = np.rint((question.places - [axis.start for axis in inside]) / steps).astype(int)
    labelmap, result = question.labelmap, question.result
    grid = _of_every(labelmap.grid, lattice)
    found = Scan(result.labelmap.array[lattice], grid)
    return replace(
        question,
        result=replace(
            result,
            labelmap=found,
            probabilities=result.probabilities[in_all_channels(lattice)],
            prepared=replace(result.prepared, reference=grid),
        ),
        labelmap=Scan(labelmap.array[lattice], grid),
        box=box,
        places=np.unique(np.clip(places, 0, np.array(distance.shape) - 1), axis=0),
        distance=distance,
    )


def _of_every(grid: Grid, lattice: Box) -> Grid:
    """The grid of an array of a grid's voxels when it is indexed by slices with steps."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [float(axis.start) for axis in lattice]
    affine[:3, :3] *= [axis.step for axis in lattice]
    shape = [len(range(n)[axis]) for n, axis in zip(grid.shape, lattice, strict=True)]
    return Grid(triple(shape), affine)
