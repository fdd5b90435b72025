"""Boxes (markups ROI nodes) in the scene, and the same boxes as the engine knows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.place_mode import addUnplaced

LESION_MARGIN_MM = 10.0
"""What a box around a lesion leaves on each side of it."""


def createBox(scene, center: Sequence[float], size: Sequence[float]):
    """A new box that the user can move, turn and resize in the views.

    Args:
        center: RAS in mm.
        size: Edge lengths along R, A and S in mm.

    Returns:
        The vtkMRMLMarkupsROINode.
    """
    node = slicer.vtkMRMLMarkupsROINode()
    node.SetName(scene.GenerateUniqueName(_("Box")))
    addUnplaced(scene, node)
    node.CreateDefaultDisplayNodes()
    node.SetCenter(*map(float, center))
    node.SetSize(*map(float, size))
    display = node.GetDisplayNode()
    display.SetHandlesInteractive(True)
    display.SetRotationHandleVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetFillVisibility(False)  # it would tint the scan
    return node


def createBoxAround(scene, volumeNode, lesion=None):
    """A new box around a lesion, or over the middle half of a volume.

    Args:
        volumeNode: A scalar volume.
        lesion: A `Lesion`, or None.
    """
    if lesion is not None:
        edge = lesion.max_diameter_mm + 2 * LESION_MARGIN_MM
        return createBox(scene, lesion.centroid_ras, (edge, edge, edge))
    bounds = np.zeros(6)
    volumeNode.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    return createBox(scene, ((low + high) / 2).tolist(), ((high - low) / 2).tolist())


def worldBoxOf(node) -> WorldBox:
    """The box of a vtkMRMLMarkupsROINode in the world, parent transforms included.

    Raises:
        SceneError: If it is not placed yet, flat, or below a transform that is not linear.
    """
    if node.GetNumberOfControlPoints() == 0:
        raise SceneError(
            _("The box '{name}' has no place yet; click into a slice view to place it.").format(
                name=node.GetName()
            )
        )
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise SceneError(
            _(
                "The box '{name}' is warped by the transform '{transform}', which is not linear; "
                "choose another box."
            ).format(name=node.GetName(), transform=transform.GetName())
        )
    toWorld = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    try:
        return WorldBox.of_matrix(toWorld[:3, :3] * np.array(node.GetSize()) / 2, toWorld[:3, 3])
    except BadInputError as error:
        raise SceneError(
            _("The box '{name}' has no volume; make it larger.").format(name=node.GetName())
        ) from error
