"""A heatmap as a volume in the 3D views."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from FactorizerSegmentationLib.scene.color_maps import colorsOf
from FactorizerSegmentationLib.scene.heatmaps import heatmapOf

_HIGHEST_OPACITY = 0.35
"""Of the strongest voxels, so that what lies behind is seen."""
_STEPS = 32


def canRender() -> bool:
    """Whether the application draws volumes in 3D."""
    return hasattr(slicer.modules, "volumerendering")


class HeatmapRendering:
    """Shows one heatmap in 3D, in the colours and from the level on that slices show it with."""

    def __init__(self) -> None:
        self._displayId: str | None = None

    def show(self, node) -> None:
        """Show a heatmap in place of the one before."""
        heatmap, scene = heatmapOf(node), node.GetScene()
        self.hide(scene)
        if heatmap is None or not canRender():
            return
        logic = slicer.modules.volumerendering.logic()
        display = logic.CreateDefaultVolumeRenderingNodes(node)
        if display is None:
            return
        self._displayId = display.GetID()
        for part in _partsOf(display):
            part.SetSaveWithScene(False)
        # The opacity comes last: what follows the slices' display would replace it.
        display.SetFollowVolumeDisplayNode(False)
        properties = display.GetVolumePropertyNode()
        properties.SetColor(_colors(node.GetDisplayNode()))
        properties.SetScalarOpacity(_opacity(node.GetDisplayNode(), heatmap.sign))
        display.SetVisibility(True)

    def hide(self, scene) -> None:
        """Take it away."""
        display = scene.GetNodeByID(self._displayId) if self._displayId else None
        self.forget()
        if display is not None:
            for part in _partsOf(display):
                scene.RemoveNode(part)

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._displayId = None


def _partsOf(display) -> list:
    parts = (display, display.GetVolumePropertyNode(), display.GetROINode())
    return [part for part in parts if part is not None]


def _colors(display):
    """The colours of the slices' display, by value."""
    values = np.linspace(display.GetWindowLevelMin(), display.GetWindowLevelMax(), _STEPS)
    colors = vtk.vtkColorTransferFunction()
    for value, color in zip(values, colorsOf(display.GetColorNode(), _STEPS), strict=True):
        colors.AddRGBPoint(float(value), *color.tolist())
    return colors


def _opacity(display, sign: int):
    """Nothing below the level from which on slices are coloured, more the stronger."""
    opacity = vtk.vtkPiecewiseFunction()
    if sign < 0:
        level, strongest = display.GetUpperThreshold(), display.GetWindowLevelMin()
        strongest = min(strongest, level - 1e-6 * abs(level))
    else:
        level, strongest = display.GetLowerThreshold(), display.GetWindowLevelMax()
        strongest = max(strongest, level + 1e-6 * abs(level))
    opacity.AddPoint(0.0, 0.0)
    opacity.AddPoint(level, 0.0)
    opacity.AddPoint(level + 0.01 * (strongest - level), 0.2 * _HIGHEST_OPACITY)
    opacity.AddPoint(strongest, _HIGHEST_OPACITY)
    return opacity
