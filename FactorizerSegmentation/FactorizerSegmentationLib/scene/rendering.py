"""A heatmap as a volume in the 3D views."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from FactorizerSegmentationLib.scene.color_maps import colorsOf
from FactorizerSegmentationLib.scene.heatmaps import heatmapOf
from FactorizerSegmentationLib.scene.layers import ClearSurfaces
from FactorizerSegmentationLib.scene.pieces import blockOf
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.volumes import localAffine, setVoxels, voxelsOf

_HIGHEST_OPACITY = 0.35
"""Of the strongest voxels, so that what lies behind is seen."""
_STEPS = 32
_MARGIN = 1
"""Voxels around what is drawn, towards which it fades."""


def canRender() -> bool:
    """Whether the application draws volumes in 3D."""
    return hasattr(slicer.modules, "volumerendering")


class HeatmapRendering:
    """Shows one heatmap in 3D, in the colours and from the level on that slices show it with.

    What is rendered is a small volume of its own: where no graphics card helps, all of a scan would
    take seconds. Meanwhile one sees through the surfaces of segments, in which most of it lies.
    """

    def __init__(self) -> None:
        self._volumeId: str | None = None
        self._surfaces = ClearSurfaces()

    def show(self, node) -> None:
        """Show a heatmap in place of the one before."""
        heatmap, scene = heatmapOf(node), node.GetScene()
        drawn = _drawnBlock(node, heatmap.sign) if heatmap is not None else None
        if drawn is None or heatmap is None or not canRender():
            self.hide(scene)
            return
        volume = scene.GetNodeByID(self._volumeId) if self._volumeId else None
        if volume is None:
            volume = _addHidden(node)
            self._volumeId = volume.GetID()
        _fill(volume, node, drawn)
        display = _renderingOf(volume)
        if display is not None:
            properties = display.GetVolumePropertyNode()
            properties.SetColor(_colors(node.GetDisplayNode()))
            properties.SetScalarOpacity(_opacity(node.GetDisplayNode(), heatmap.sign))
            display.SetVisibility(True)
            self._surfaces.show(scene)

    def hide(self, scene) -> None:
        """Take it away."""
        self._surfaces.restore(scene)
        volume = scene.GetNodeByID(self._volumeId) if self._volumeId else None
        self.forget()
        if volume is not None:
            parts = _partsOf(slicer.modules.volumerendering.logic(), volume)
            removeWithDisplays(volume)
            for part in parts:
                scene.RemoveNode(part)

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._volumeId = None


def _drawnBlock(node, sign: int) -> tuple[slice, ...] | None:
    """The part (I, J, K) that slices colour, with a margin; None if they colour nothing."""
    values, display = voxelsOf(node), node.GetDisplayNode()
    low, high = display.GetLowerThreshold(), display.GetUpperThreshold()
    block = blockOf(values >= low if sign > 0 else values <= high)
    if not all(axis.stop for axis in block):
        return None
    return tuple(slice(max(axis.start - _MARGIN, 0), axis.stop + _MARGIN) for axis in block)


def _addHidden(node):
    """A volume that neither lists nor scene files show, drawn as another one."""
    scene, volume = node.GetScene(), slicer.vtkMRMLScalarVolumeNode()
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.Copy(node.GetDisplayNode())
    for part in (volume, display):
        part.SetSaveWithScene(False)
        part.SetHideFromEditors(True)
        scene.AddNode(part)
    volume.SetAndObserveDisplayNodeID(display.GetID())
    return volume


def _fill(volume, node, block: tuple[slice, ...]) -> None:
    """Give a volume part of the voxels of another one, in their place."""
    affine = localAffine(node)
    affine[:3, 3] = affine[:3] @ [*(axis.start for axis in block), 1]
    with slicer.util.NodeModify(volume):
        volume.SetName(_("{name} in 3D").format(name=node.GetName()))
        volume.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
        setVoxels(volume, voxelsOf(node)[block])


def _renderingOf(volume):
    """The display of a volume in 3D, which is made if there is none; None if there can be none."""
    logic = slicer.modules.volumerendering.logic()
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        display = logic.CreateDefaultVolumeRenderingNodes(volume)
        for part in _partsOf(logic, volume):
            part.SetSaveWithScene(False)
        if display is not None:  # or the slices' display would replace the opacity
            display.SetFollowVolumeDisplayNode(False)
    return display


def _partsOf(logic, volume) -> list:
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        return []
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
