"""Volume nodes as scans: voxels in (i, j, k) order with their place in the world.

Slicer's arrays are (k, j, i); the engine's are (i, j, k). They are turned here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from factorizer_engine.protocol.volumes import Origin, ScanFile
from FactorizerSegmentationLib.scene.dicom import originOf
from FactorizerSegmentationLib.scene.errors import SceneError

ROLE_ATTRIBUTE = "FactorizerSegmentation.Role"
"""Marks the nodes that this module makes, so that it does not offer them as inputs."""


def isScan(node) -> bool:
    """Whether a volume may be an input: no label map, and no result of this module."""
    plain = node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
    return plain and node.GetAttribute(ROLE_ATTRIBUTE) is None


def voxelsOf(volumeNode) -> np.ndarray:
    """The voxels of a scalar volume as a view, shape (I, J, K).

    Raises:
        SceneError: If the node holds no three-dimensional image of single numbers.
    """
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise SceneError(
            _("The volume '{name}' holds no image; load it again or choose another one.").format(
                name=volumeNode.GetName()
            )
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise SceneError(
            _(
                "The volume '{name}' has several values per voxel (a colour image?); choose a "
                "volume with one value per voxel."
            ).format(name=volumeNode.GetName())
        )
    return slicer.util.arrayFromVolume(volumeNode).transpose(2, 1, 0)


def localAffine(volumeNode) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k, 1) to the node's own RAS coordinates in mm."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def worldAffine(volumeNode) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k, 1) to world RAS in mm, parent transforms included.

    Raises:
        SceneError: If a parent transform is not linear.
    """
    transformNode, name = volumeNode.GetParentTransformNode(), volumeNode.GetName()
    return matrixToWorld(transformNode, name) @ localAffine(volumeNode)


def unusableBecause(volumeNode) -> str:
    """One sentence on why a volume is of no use to the engine, or the empty string."""
    try:
        voxelsOf(volumeNode)
        worldAffine(volumeNode)
    except SceneError as error:
        return str(error)
    return ""


def voxelMl(volumeNode) -> float:
    """Volume in mL of a voxel in the world, where lesions are measured, too.

    Below a transform that is not linear, where none are, it is that in the node's own coordinates.
    """
    try:
        affine = worldAffine(volumeNode)
    except SceneError:
        affine = localAffine(volumeNode)
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000


def matrixToWorld(transformNode, name: str) -> np.ndarray:
    """4x4 matrix to world RAS in mm from below a transform; None is no transform.

    Args:
        name: Of the volume below it.

    Raises:
        SceneError: If the transform is not linear.
    """
    if transformNode is None:
        return np.eye(4)
    if not transformNode.IsTransformToWorldLinear():
        raise SceneError(
            _(
                "The volume '{name}' is warped by the transform '{transform}', which is not "
                "linear; harden it in the Data module first."
            ).format(name=name, transform=transformNode.GetName())
        )
    toWorld = vtk.vtkMatrix4x4()
    transformNode.GetMatrixTransformToWorld(toWorld)
    return slicer.util.arrayFromVTKMatrix(toWorld)


def stateOf(volumeNode) -> tuple[int, bytes, str, int]:
    """Other as soon as the voxels of a volume change, or their place."""
    image, transform = volumeNode.GetImageData(), volumeNode.GetParentTransformNode()
    return (
        image.GetMTime() if image is not None else 0,
        localAffine(volumeNode).tobytes(),
        volumeNode.GetTransformNodeID() or "",
        transform.GetTransformToWorldMTime() if transform is not None else 0,
    )


def saveScan(volumeNode, path: Path) -> ScanFile:
    """Write a volume for the engine to read; voxels keep their type and place.

    Raises:
        SceneError: If the volume cannot be used or the file cannot be written.
    """
    voxels, affine = voxelsOf(volumeNode), worldAffine(volumeNode)
    return saveVoxels(voxels, affine, path, volumeNode.GetName(), originOf(volumeNode))


def saveVoxels(
    voxels: np.ndarray, affine: np.ndarray, path: Path, name: str, origin: Origin | None = None
) -> ScanFile:
    """Write voxels (I, J, K) at a place (4x4, to world RAS in mm) for the engine to read.

    Raises:
        SceneError: If the file cannot be written.
    """
    try:
        return ScanFile.save(voxels, affine, path, name, origin or Origin())
    except OSError as error:
        raise SceneError(
            _("The volume '{name}' could not be handed to the engine ({reason}).").format(
                name=name, reason=error.strerror or error
            )
        ) from error


@dataclass(frozen=True)
class Place:
    """Where the voxels of a result lie.

    Results have the voxels of the reference volume. While that volume is in the scene they share
    its parent transform and follow it; when it is gone they stay where it was.

    Attributes:
        affine: 4x4 matrix from voxel indices (i, j, k, 1) to RAS in mm below `transformId`.
        transformId: Parent transform of the result, or None.
        volumeNode: The reference volume, or None.
    """

    affine: np.ndarray
    transformId: str | None = None
    volumeNode: object | None = None

    @classmethod
    def of(cls, volumeNode, shape: tuple[int, ...], world: np.ndarray) -> Place:
        """The place of a result of `shape` (I, J, K) that the engine put at `world` (4x4).

        Args:
            volumeNode: The reference volume, or None if it was deleted meanwhile.
        """
        if volumeNode is None or volumeNode.GetImageData() is None:
            return cls(np.asarray(world, dtype=float))
        if volumeNode.GetImageData().GetDimensions() != tuple(shape):
            return cls(np.asarray(world, dtype=float))
        return cls(localAffine(volumeNode), volumeNode.GetTransformNodeID(), volumeNode)

    def applyTo(self, node) -> None:
        """Put the parent transform on a transformable node."""
        node.SetAndObserveTransformNodeID(self.transformId)


def createVolume(scene, voxels: np.ndarray, place: Place, name: str, hidden: bool = False):
    """A new scalar volume node with `voxels` (I, J, K) at `place`.

    Args:
        hidden: No module offers it, and it is not saved with the scene.
    """
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(scene.GenerateUniqueName(name))
    node.SetHideFromEditors(hidden)
    node.SetSaveWithScene(not hidden)
    scene.AddNode(node)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(place.affine))
    setVoxels(node, voxels)
    place.applyTo(node)
    return node


def emptyImage(shape: Sequence[int]) -> Any:
    """A vtkImageData of float32 voxels (I, J, K) that are to be filled."""
    image = vtk.vtkImageData()
    image.SetDimensions(*shape)
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    return image


def arrayOf(image: Any) -> np.ndarray:
    """The voxels of a vtkImageData as a view, (k, j, i)."""
    scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return scalars.reshape(image.GetDimensions()[::-1])


def setVoxels(volumeNode, voxels: np.ndarray) -> None:
    """Give a volume its voxels (I, J, K)."""
    array = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    slicer.util.updateVolumeFromArray(volumeNode, array)
