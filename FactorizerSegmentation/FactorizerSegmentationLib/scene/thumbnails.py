"""Small pictures of a slice: the scan, and over it a heatmap as the slice views draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from FactorizerSegmentationLib.scene.color_maps import chosenMap, colorNodeOf, colorsOf
from FactorizerSegmentationLib.scene.explanations import Step
from FactorizerSegmentationLib.scene.overlays import Look
from FactorizerSegmentationLib.scene.volumes import worldAffine

EDGE = 56
"""Of a thumbnail, in pixels."""
_COLORS = 64


@dataclass(frozen=True)
class SlicePlane:
    """The places of a thumbnail's pixels.

    Attributes:
        corner: RAS in mm of the first pixel of the top row.
        right, down: Steps to the next pixel of a row and to the next row, RAS in mm.
    """

    corner: tuple[float, ...]
    right: tuple[float, ...]
    down: tuple[float, ...]

    @classmethod
    def of(cls, sliceNode, step: Step) -> SlicePlane:
        """The slice of a view, as large as a whole heatmap seen along it.

        Raises:
            SceneError: If the heatmap is warped.
        """
        toRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        fromRas = np.linalg.inv(toRas)
        corners = _corners(step.worldAffine(), step.volumeNode.GetImageData().GetDimensions())
        seen = corners @ fromRas[:3, :3].T + fromRas[:3, 3]
        low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
        edge = float((high - low).max()) / EDGE
        left, top = (low + high) / 2 + np.array([-1, 1]) * edge * (EDGE - 1) / 2
        return cls(
            tuple((toRas @ [left, top, 0, 1])[:3].tolist()),
            tuple((edge * toRas[:3, 0]).tolist()),
            tuple((-edge * toRas[:3, 1]).tolist()),
        )

    def voxels(self, affine: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Of each pixel, (EDGE, EDGE): the nearest voxel of a volume, in its array, and whether it
        lies inside.

        Args:
            affine: 4x4 matrix from voxel indices (i, j, k, 1) to world RAS in mm.
            sizes: (I, J, K).
        """
        inverse = np.linalg.inv(affine)
        pixels = np.arange(EDGE)
        origin = inverse[:3, :3] @ self.corner + inverse[:3, 3]
        right, down = inverse[:3, :3] @ self.right, inverse[:3, :3] @ self.down
        places = origin + pixels[:, None, None] * down + pixels[None, :, None] * right
        indices = np.rint(places).astype(np.intp)
        shape = np.array(sizes)
        inside = np.all((indices >= 0) & (indices < shape), axis=2)
        i, j, k = np.moveaxis(np.clip(indices, 0, shape - 1), 2, 0)
        return (k * shape[1] + j) * shape[0] + i, inside


def thumbnail(plane: SlicePlane, scanNode, step: Step, look: Look) -> np.ndarray:
    """The picture (EDGE, EDGE, 3), uint8, of a heatmap.

    Args:
        scanNode: The volume below, or None.

    Raises:
        SceneError: If one of them is warped.
    """
    heatmap = step.heatmap
    picture = np.zeros((EDGE, EDGE, 3))
    if scanNode is not None:
        picture += _windowed(scanNode, _sampled(plane, scanNode, worldAffine(scanNode)))[:, :, None]
    values = _sampled(plane, step.volumeNode, step.worldAffine())
    drawn = heatmap.sign * values >= heatmap.levelOf(look.shownPart)
    scene = step.sequenceNode.GetScene()
    colorNode = colorNodeOf(scene, chosenMap(heatmap.colorMaps, look.colors))
    low, high = heatmap.window
    place = np.clip((values - low) / max(high - low, 1e-30), 0, 1)
    table = colorsOf(colorNode, _COLORS)
    picture[drawn] = table[np.rint(place[drawn] * (_COLORS - 1)).astype(int)]
    return np.rint(255 * picture).astype(np.uint8)


def _sampled(plane: SlicePlane, volumeNode, affine: np.ndarray) -> np.ndarray:
    indices, inside = plane.voxels(affine, volumeNode.GetImageData().GetDimensions())
    values = slicer.util.arrayFromVolume(volumeNode).reshape(-1)[indices]
    return np.where(inside, values, 0).astype(float)


def _windowed(scanNode, values: np.ndarray) -> np.ndarray:
    """Grey values 0 to 1, as the scan's display has them."""
    display = scanNode.GetDisplayNode()
    low, high = float(values.min()), float(values.max())
    if display is not None:
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    return np.clip((values - low) / max(high - low, 1e-30), 0, 1)


def _corners(affine: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The corners (8, 3) of a volume, RAS in mm in the world."""
    edges = [(-0.5, size - 0.5) for size in sizes]
    corners = np.array([(i, j, k) for i in edges[0] for j in edges[1] for k in edges[2]])
    return corners @ affine[:3, :3].T + affine[:3, 3]
