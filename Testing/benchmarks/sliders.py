"""`python -m benchmarks.sliders`: from a move of a slider to the changed segments, in the host.

A made-up glioma in 240 x 240 x 155 voxels. The goal is under 100 ms a move; the drawing of the
views comes on top and is shown apart.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import slicer

from factorizer_engine.protocol.models import Label, Region
from factorizer_engine.protocol.painting import compact
from host.application import HostApplication

SHAPE = (240, 240, 155)
REGIONS = (Region("ET", 4, "Enhancing", 2), Region("TC", 1, "Core", 1), Region("WT", 2, "Whole", 0))
LABELS = tuple(Label(r.label, r.title, (200, 40 * r.label, 50)) for r in REGIONS)
POSITIONS = (45, 40, 35, 30, 25, 30, 40, 50, 60, 70, 80)
"""Of the threshold, in percent."""


def main() -> None:
    """Print the median and the longest time in ms, and the processor's time of the longest."""
    host = HostApplication(testing=False)
    try:
        panel = _panel(host)
        for name, slider, positions in (
            ("threshold", panel.ui.thresholdSlider, POSITIONS),
            ("threshold, without small lesions", panel.ui.thresholdSlider, POSITIONS),
            ("smallest lesion", panel.ui.smallestSlider, (0.5, 1.0, 2.0, 1.5, 0.1)),
        ):
            if "without" in name:
                panel.ui.smallestSlider.value = 0.3
            moves, busy, views = zip(*(_move(slider, value) for value in positions), strict=True)
            print(
                f"{name}: {1000 * statistics.median(moves):.0f} ms, at most "
                f"{1000 * max(moves):.0f} ms ({1000 * max(busy):.0f} ms of processor); "
                f"drawing {1000 * statistics.median(views):.0f} ms"
            )
    finally:
        host.close()


def _panel(host: HostApplication):
    from FactorizerSegmentationLib.scene import probabilities, segments
    from FactorizerSegmentationLib.scene.hand_edits import HandEdits
    from FactorizerSegmentationLib.scene.volumes import Place, createVolume

    scene = slicer.mrmlScene
    scan = createVolume(scene, np.ones(SHAPE, np.int16), Place(np.eye(4)), "Scan")
    place = Place.of(scan, SHAPE, np.eye(4))
    maps = [_map(radius) for radius in (18.0, 26.0, 45.0)]
    labelmap = np.zeros(SHAPE, np.uint8)
    for region, levels in reversed(list(zip(REGIONS, maps, strict=True))):
        labelmap[levels >= 128] = region.label
    node = segments.createSegmentation(scene, labelmap, LABELS, place, "Result")
    for region, levels in zip(REGIONS, maps, strict=True):
        probabilities.createMap(node, region, levels, place)
    probabilities.setThresholds(node, probabilities.Thresholds(REGIONS, (0.5,) * len(REGIONS)))
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    widget = host.select_module("FactorizerSegmentation")
    widget.logic.getParameterNode().segment.segmentation = node
    widget.enter()
    host.process_events(0.5)
    HandEdits(node, [label.value for label in LABELS])  # as the list of lesions has them
    return widget.adjustPanel


def _map(radius: float) -> np.ndarray:
    """High within a ball and low around it, with some noise, as networks give it."""
    axes = np.ogrid[tuple(map(slice, SHAPE))]
    away = np.sqrt(sum((axis - size * 0.45) ** 2 for axis, size in zip(axes, SHAPE, strict=True)))
    noise = np.random.default_rng(0).normal(0, 0.7, SHAPE)
    return compact((1 / (1 + np.exp((away - radius) / 3 + noise))).astype(np.float32))


def _move(slider, value: float) -> tuple[float, float, float]:
    start, busy = time.perf_counter(), time.thread_time()
    slider.value = value
    moved, worked = time.perf_counter(), time.thread_time()
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    return moved - start, worked - busy, time.perf_counter() - moved


if __name__ == "__main__":
    main()
