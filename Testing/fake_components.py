"""Components that are made up, for `fake_engine.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from factorizer_engine.protocol.components import Component, Term, step_of
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.components import ComponentsParams, ComponentsResult
from factorizer_engine.protocol.volumes import ScanFile


def components(
    model: ModelDescription, box: tuple[slice, ...], params: ComponentsParams
) -> ComponentsResult:
    """As many components as asked for, each weaker than the one before, active inside a box."""
    reference = params.study.channels[params.study.reference or ""]
    found, heatmaps, evidence, own_heatmaps, own_evidence = [], [], [], [], []
    for number in range(params.count):
        heatmap = np.zeros(reference.load().shape, np.float32)
        heatmap[box] = np.linspace(0.5, 1.0, heatmap[box].size).reshape(heatmap[box].shape)
        heatmap *= 4.0 / (number + 1)
        path = Path(params.output_dir) / f"heatmap{number}.npy"
        heatmaps.append(ScanFile.save(heatmap, reference.matrix, path))
        found.append(
            Component(
                Term(0, "decoder.3.0", number, 0),
                f"Component {number + 1}",
                {"ET": 2.0 / (number + 1), "WT": 0.5 * (number - 1.5)},
                window=(0.0, 4.0),
                region="ET",
                evidence_window=(-2.0, 2.0),
                meaning=f"Meaning {number + 1}",
                stability=0.9 - 0.4 * (number == 1),
            )
        )
        path = Path(params.output_dir) / f"evidence{number}.npy"
        steps = np.rint(heatmap / 2 / step_of((-2.0, 2.0))).astype(np.int16)
        evidence.append(
            ScanFile.save(steps if params.compact else heatmap / 2, reference.matrix, path)
        )
        path = Path(params.output_dir) / f"own_heatmap{number}.npy"
        own_heatmaps.append(_halved(heatmap, reference.matrix, path, 1.0))
        path = Path(params.output_dir) / f"own_evidence{number}.npy"
        own_evidence.append(_halved(heatmap, reference.matrix, path, 0.5))
    note = f"Ranked for {params.region}." if params.region else ""
    if params.near is not None:
        note += f"Explained near {params.near}."
    maps = map(tuple, (found, heatmaps, evidence, own_heatmaps, own_evidence))
    return ComponentsResult(model, *maps, note)


def _halved(values: np.ndarray, matrix: np.ndarray, path: Path, factor: float) -> ScanFile:
    """Every second voxel, in voxels of twice the size whose corners are those of the first ones."""
    larger = matrix @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1.0]])
    return ScanFile.save(factor * values[::2, ::2, ::2], larger, path)
