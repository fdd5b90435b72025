"""Where components are active and what they contribute where, as volumes that can be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.capture import Captures
from factorizer_engine.components.estimates import Estimate
from factorizer_engine.components.measuring import Measured
from factorizer_engine.components.question import Question
from factorizer_engine.components.stitching import OWN_VOXELS, SMOOTH, stitch_components
from factorizer_engine.components.windows import evidence_windows, legible_windows
from factorizer_engine.factorization.threads import run_in_threads
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

_ACTIVE = 0.8
"""How far drawing has come when it is known where components are active."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Maps of some components, float32, zero outside the head; evidence in logits per mL.

    Attributes:
        heatmaps, evidence: Smooth, on the reference grid.
        own_heatmaps, own_evidence: In the voxels of their blocks, on the model's grid.
        windows, evidence_windows: Display ranges.
    """

    heatmaps: Sequence[Scan]
    evidence: Sequence[Scan]
    own_heatmaps: Sequence[Scan]
    own_evidence: Sequence[Scan]
    windows: Sequence[tuple[float, float]]
    evidence_windows: Sequence[tuple[float, float]]


def draw(asked: Question, estimate: Estimate, measured: Measured, monitor: Monitor) -> Drawn:
    """The maps of the components that were measured, evidence for the region of each."""
    heatmaps, own_heatmaps = _activity(asked, measured.terms, monitor.span(0.0, _ACTIVE))
    monitor.report("restoring", _ACTIVE)
    evidence, own_evidence = (
        _evidence(asked, estimate, measured, mode) for mode in (SMOOTH, OWN_VOXELS)
    )
    prepared, restore = asked.result.prepared, asked.segmenter.preprocessor.restore
    occupied = (prepared.array != 0).any(axis=0).astype(np.float32)
    head = restore(occupied[None], prepared)[0] >= 0.5
    names = [asked.name_of(term) for term in measured.terms]

    def scans(maps: np.ndarray, grid: Grid) -> list[Scan]:
        return [Scan(one, grid, name) for one, name in zip(maps, names, strict=True)]

    def restored(maps: np.ndarray) -> list[Scan]:
        found = restore(maps, prepared)
        run_in_threads(lambda one: np.multiply(one, head, out=one), found)
        return scans(found, asked.result.labelmap.grid)

    drawn = Drawn(
        restored(heatmaps),
        restored(evidence),
        scans(own_heatmaps * occupied, prepared.grid),
        scans(own_evidence * occupied, prepared.grid),
        legible_windows(measured.terms, heatmaps * occupied),
        evidence_windows(evidence * occupied),
    )
    monitor.report("restoring", 1.0)
    return drawn


def _activity(
    asked: Question, terms: Sequence[Term], monitor: Monitor
) -> tuple[np.ndarray, np.ndarray]:
    """Where components are active in model space, smooth and in their blocks' own voxels."""
    volume, plan = asked.result.prepared.array, asked.result.plan
    maps, own_maps = np.empty((2, len(terms), *volume.shape[1:]), dtype=np.float32)
    members = sorted({term.network for term in terms})
    for member, part in zip(members, monitor.parts(len(members)), strict=True):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        own = [terms[row] for row in rows]
        device, watcher = asked.segmenter.device, asked.result.watcher
        captures = watcher if isinstance(watcher, Captures) else None
        maps[rows], own_maps[rows] = stitch_components(
            asked.networks[member], volume, plan, own, device, part, captures
        )
    return maps, own_maps


def _evidence(asked: Question, estimate: Estimate, measured: Measured, mode: str) -> np.ndarray:
    """What components contribute where to the region of each, logits per mL in model space."""
    outputs, plan = asked.result.outputs, asked.result.plan
    maps = []
    for term, region in zip(measured.terms, measured.regions, strict=True):
        found = estimate.evidence[term.network]
        maps.append(found.draw(asked.mixers, term, int(outputs[region]), plan, mode))
    return np.stack(maps) / (len(asked.networks) * asked.result.prepared.grid.voxel_ml)
