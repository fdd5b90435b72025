"""Pictures of slices through the lesion, drawn by Slicer's own views without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from demo.scene import ResultNodes
from FactorizerSegmentationLib.scene import volumes
from FactorizerSegmentationLib.scene.explanations import Step
from FactorizerSegmentationLib.scene.heatmaps import DEFAULT_SHOWN_PART
from host.views import SliceView

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
SIZE = (760, 640)
ZOOM = 0.88
SHIFT = 0.05
"""Part of the view's width; zoom and shift leave room for the legend beside the head."""
OPACITY = 0.75
"""Of the heatmap over the scan."""
LEGEND_TITLE = "Logits per mL"


def take_pictures(
    background,
    nodes: ResultNodes,
    leading: int,
    ras: tuple[float, float, float],
    folder: Path,
) -> None:
    """Draw the segmentation, one heatmap all round and every component, and write them as PNG.

    The views' nodes stay in the scene, so that it opens with the last of these pictures.

    Args:
        background: Volume node to draw upon.
        leading: Index of the heatmap that is shown in all orientations.
        ras: The slices go through this point, RAS in mm.
        folder: Where the pictures go.
    """
    views = {name: _view(name, background, ras) for name in ORIENTATIONS}

    def draw_heatmap(orientation: str, heatmap, name: str) -> None:
        path = folder / f"{name}.png"
        _draw_heatmap(views[orientation], background, nodes, heatmap, path)

    try:
        for name, view in views.items():
            _draw_segmentation(name, view, background, nodes.segmentation, folder)
        for number, heatmap in enumerate(nodes.heatmaps, start=1):
            draw_heatmap("Axial", heatmap, f"component-{number}")
        for name in views:
            draw_heatmap(name, nodes.heatmaps[leading], f"heatmap-{name.lower()}")
    finally:
        for view in views.values():
            view.close()


def most_focal(steps: Sequence[Step], scan, labelmap: np.ndarray) -> int:
    """Index of the heatmap whose peaks lie most within the lesion."""
    head, lesion = volumes.voxelsOf(scan) > 0, labelmap > 0
    shares = []
    for step in steps:
        values = step.heatmap.sign * volumes.voxelsOf(step.volumeNode)
        peaks = values >= step.heatmap.levelOf(DEFAULT_SHOWN_PART)
        shares.append(lesion[head & peaks].mean())
    return int(np.argmax(shares))


def _view(orientation: str, background, ras: Sequence[float]) -> SliceView:
    view = SliceView(slicer.mrmlScene, orientation, SIZE)
    view.set_layers(background=background)
    view.fit()
    view.zoom(ZOOM)
    view.node.SetXYZOrigin(SHIFT * view.node.GetFieldOfView()[0], 0.0, 0.0)
    view.jump_to(ras)
    return view


def _draw_segmentation(
    orientation: str, view: SliceView, background, segmentation, folder: Path
) -> None:
    view.set_layers(background=background)
    view.show_segmentation(segmentation, fill=0.45)
    view.save_png(folder / f"segmentation-{orientation.lower()}.png")


def _draw_heatmap(view: SliceView, background, nodes: ResultNodes, heatmap, path: Path) -> None:
    view.set_layers(background=background, foreground=heatmap, opacity=OPACITY)
    view.show_segmentation(nodes.segmentation, fill=0.0)
    # Switched off and on, a legend also appears in views that show its heatmap only since then.
    for other in nodes.heatmaps:
        view.show_legend(other, visible=False)
    _shape_legend(view.show_legend(heatmap, LEGEND_TITLE))
    view.save_png(path)


def _shape_legend(legend) -> None:
    legend.SetSize(0.12, 0.45)
    legend.SetPosition(0.98, 0.5)
    legend.SetNumberOfLabels(4)
    legend.SetLabelFormat("%.2g")
