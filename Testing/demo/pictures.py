"""Pictures of slices through the lesion, drawn by Slicer's own views without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from demo.report import Picture, Pictures
from demo.scene import ResultNodes
from FactorizerSegmentationLib.scene import volumes
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
) -> Pictures:
    """Draw the segmentation, one heatmap all round and every component, and write them as PNG.

    The views' nodes stay in the scene, so that it opens with the last of these pictures.

    Args:
        background: Volume node to draw upon.
        leading: Index of the heatmap that is shown in all orientations.
        ras: The slices go through this point, RAS in mm.
        folder: Where the pictures go.
    """
    views = {name: _view(name, background, ras) for name in ORIENTATIONS}

    def draw_heatmap(orientation: str, heatmap, name: str) -> Picture:
        path = folder / f"{name}.png"
        return _draw_heatmap(orientation, views[orientation], background, nodes, heatmap, path)

    try:
        segmentation = tuple(
            _draw_segmentation(name, view, background, nodes.segmentation, folder)
            for name, view in views.items()
        )
        each = tuple(
            draw_heatmap("Axial", heatmap, f"component-{number}")
            for number, heatmap in enumerate(nodes.heatmaps, start=1)
        )
        everywhere = tuple(
            draw_heatmap(name, nodes.heatmaps[leading], f"heatmap-{name.lower()}") for name in views
        )
    finally:
        for view in views.values():
            view.close()
    return Pictures(segmentation, everywhere, each)


def most_focal(heatmaps: Sequence, scan, labelmap: np.ndarray) -> int:
    """Index of the heatmap (volume node) whose peaks lie most within the lesion."""
    head, lesion = volumes.voxelsOf(scan) > 0, labelmap > 0
    shares = []
    for node in heatmaps:
        peaks = volumes.voxelsOf(node) >= node.GetDisplayNode().GetLowerThreshold()
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
) -> Picture:
    view.set_layers(background=background)
    view.show_segmentation(segmentation, fill=0.45)
    path = view.save_png(folder / f"segmentation-{orientation.lower()}.png")
    return Picture(path, orientation, f"over {background.GetName()}")


def _draw_heatmap(
    orientation: str, view: SliceView, background, nodes: ResultNodes, heatmap, path: Path
) -> Picture:
    view.set_layers(background=background, foreground=heatmap, opacity=OPACITY)
    view.show_segmentation(nodes.segmentation, fill=0.0)
    # Switched off and on, a legend also appears in views that show its heatmap only since then.
    for other in nodes.heatmaps:
        view.show_legend(other, visible=False)
    _shape_legend(view.show_legend(heatmap, LEGEND_TITLE))
    return Picture(view.save_png(path), orientation, heatmap.GetName())


def _shape_legend(legend) -> None:
    legend.SetSize(0.12, 0.45)
    legend.SetPosition(0.98, 0.5)
    legend.SetNumberOfLabels(4)
    legend.SetLabelFormat("%.2g")
