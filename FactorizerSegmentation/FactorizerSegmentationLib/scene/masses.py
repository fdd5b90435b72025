"""The voxels of one lesion in a segmentation as it is now, and lesions that were taken out."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from functools import reduce

import numpy as np
import slicer

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.scene.label_images import coincide, imageOf
from FactorizerSegmentationLib.scene.pieces import blockOf, piecesOf
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.scene.volumes import arrayOf, worldAffine

REMOVED_ATTRIBUTE = "FactorizerSegmentation.Removed"
_SAMPLES = 33
"""Points along the short axis of a lesion, by which it is known again."""


def referenceVolumeOf(segmentationNode):
    """The volume on whose grid a segmentation lies, or None."""
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    return segmentationNode.GetNodeReference(role)


def maskOf(segmentationNode, segmentId: str, volumeNode) -> np.ndarray:
    """Where a segment is, (I, J, K), on the grid of a volume."""
    image = imageOf(segmentationNode, segmentId)
    if image is not None:
        label = segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue()
        if coincide(image, segmentationNode, volumeNode):
            return arrayOf(image).T == label
        if image.IsEmpty() or not (arrayOf(image) == label).any():  # Slicer cannot resample nothing
            return np.zeros(volumeNode.GetImageData().GetDimensions(), bool)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
    return mask.transpose(2, 1, 0) != 0


def masksOf(segmentationNode) -> dict[str, np.ndarray]:
    """Where every segment is, (I, J, K), on the grid of the segmentation's scan."""
    segmentation, volumeNode = (
        segmentationNode.GetSegmentation(),
        referenceVolumeOf(segmentationNode),
    )
    names = map(segmentation.GetNthSegmentID, range(segmentation.GetNumberOfSegments()))
    return {name: maskOf(segmentationNode, name, volumeNode) for name in names}


def massOf(segmentationNode, lesion: Lesion, labels: Iterable[int]) -> dict[str, np.ndarray]:
    """The voxels now connected to where a lesion was found, by segment id.

    The segmentation may have been edited since: what was painted on counts, what was erased does
    not. Nothing is left of a lesion whose short axis meets no segment any more.

    Args:
        labels: Values of the classes that make up lesions.
    """
    wanted = set(map(segmentIdOf, labels))
    masks = {name: mask for name, mask in masksOf(segmentationNode).items() if name in wanted}
    if not masks:
        return {}
    seeds = seedsOf(lesion, referenceVolumeOf(segmentationNode))
    union = reduce(np.logical_or, masks.values())
    block = blockOf(union)
    mass = connected(union[block], seeds - [axis.start for axis in block])
    found = {}
    for segmentId, mask in masks.items():
        part = mask[block] & mass
        if part.any():
            found[segmentId] = np.zeros(mask.shape, bool, order="F")
            found[segmentId][block] = part
    return found


def seedsOf(lesion: Lesion, volumeNode) -> np.ndarray:
    """Indices (N, 3) of voxels that were inside the lesion."""
    points = np.linspace(lesion.short_axis.start, lesion.short_axis.end, _SAMPLES)[1:-1]
    inverse = np.linalg.inv(worldAffine(volumeNode))
    return np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)


def connected(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The connected pieces (26 neighbours) of a mask that hold any of the seeds (N, 3)."""
    inside = ((seeds >= 0) & (seeds < mask.shape)).all(axis=1)
    pieces = piecesOf(mask)
    wanted = np.zeros(int(pieces.max(initial=0)) + 1, bool)
    wanted[pieces[tuple(seeds[inside].T)]] = True
    wanted[0] = False
    return wanted[pieces]


def rememberRemoved(tableNode, lesionId: int, masks: dict[str, np.ndarray]) -> None:
    """Keep the voxels of a lesion that was taken out with its table; none forgets them."""
    removed = _removed(tableNode)
    removed.pop(str(lesionId), None)
    if masks:
        removed[str(lesionId)] = {name: packed(mask) for name, mask in masks.items()}
    tableNode.SetAttribute(REMOVED_ATTRIBUTE, json.dumps(removed) if removed else None)


def removedMass(tableNode, lesionId: int) -> dict[str, np.ndarray]:
    """The voxels of a lesion that was taken out, by segment id; empty if there are none."""
    content = _removed(tableNode).get(str(lesionId))
    found = content if isinstance(content, dict) else {}
    masks = {name: unpacked(text) for name, text in found.items()}
    return {name: mask for name, mask in masks.items() if mask is not None}


def _removed(tableNode) -> dict:
    try:
        removed = json.loads(tableNode.GetAttribute(REMOVED_ATTRIBUTE) or "{}")
    except ValueError:
        return {}
    return removed if isinstance(removed, dict) else {}


def packed(mask: np.ndarray) -> str:
    """A mask with any voxel as text: the box around its voxels, one bit each, compressed."""
    block = blockOf(mask)
    bits = np.packbits(mask[block]).tobytes()
    content = {
        "shape": list(mask.shape),
        "low": [axis.start for axis in block],
        "high": [axis.stop for axis in block],
        "bits": base64.b64encode(zlib.compress(bits)).decode(),
    }
    return json.dumps(content)


def unpacked(text: str | None) -> np.ndarray | None:
    """The mask that `packed` made a text of; None for any other text."""
    try:
        content = json.loads(text or "")
        mask = np.zeros(content["shape"], bool)
        part = mask[tuple(map(slice, content["low"], content["high"]))]
        bits = np.frombuffer(zlib.decompress(base64.b64decode(content["bits"])), np.uint8)
        part[...] = np.unpackbits(bits, count=part.size).reshape(part.shape)
    except (TypeError, KeyError, ValueError, zlib.error):  # a scene file can hold anything
        return None
    return mask


def addUnsaved(segmentationNode, volumeNode, fill: float) -> None:
    """Put a new segmentation into the scene of a scan, on its grid, in slices and unsaved only.

    Args:
        fill: Opacity of its segments in slices.
    """
    segmentationNode.SetSaveWithScene(False)
    volumeNode.GetScene().AddNode(segmentationNode)
    segmentationNode.CreateDefaultDisplayNodes()
    display = segmentationNode.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    display.SetOpacity2DFill(fill)
    segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
