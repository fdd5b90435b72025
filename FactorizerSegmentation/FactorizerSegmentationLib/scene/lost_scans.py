"""Scans that are deleted from below their segmentations, and known again when they are loaded."""

from __future__ import annotations

import zlib

import numpy as np
import slicer

from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.volumes import isScan, localAffine, voxelsOf

LOST_ATTRIBUTE = "FactorizerSegmentation.LostScan"
"""Of a segmentation: the voxels and the place of its scan that was deleted, as a number."""
_DECIMALS = 3


def noteLost(volumeNode) -> None:
    """Note at the segmentations of a scan that is about to be deleted how it is known again."""
    scene = volumeNode.GetScene()
    own = [node for node in _segmentationsIn(scene) if referenceVolumeOf(node) is volumeNode]
    known = _fingerprint(volumeNode) if own else None
    for node in own:
        node.SetAttribute(LOST_ATTRIBUTE, known)


def reunite(scene) -> None:
    """Put segmentations back onto their scans, as far as these were loaded again.

    A scan of the same place with other voxels, as of another patient, is not taken.
    """
    lost = [
        node
        for node in _segmentationsIn(scene)
        if node.GetAttribute(LOST_ATTRIBUTE) and referenceVolumeOf(node) is None
    ]
    if not lost:
        return
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)
    known = {_fingerprint(volume): volume for volume in volumes if isScan(volume)}
    for node in lost:
        volume = known.get(node.GetAttribute(LOST_ATTRIBUTE))
        if volume is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            node.SetAttribute(LOST_ATTRIBUTE, None)


def _segmentationsIn(scene) -> list:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)


def _fingerprint(volumeNode) -> str | None:
    """The same for the same voxels at the same place; None of what is no scan."""
    try:
        voxels = voxelsOf(volumeNode).T
    except SceneError:
        return None
    place = np.round(localAffine(volumeNode), _DECIMALS) + 0.0  # there is no -0
    return f"{zlib.crc32(np.ascontiguousarray(voxels).data, zlib.crc32(place.tobytes())):08x}"
