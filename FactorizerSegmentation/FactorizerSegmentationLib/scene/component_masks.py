"""Where a component is active, as a part of a segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.scene.boxes import worldBoxOf
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.heatmaps import heatmapOf
from FactorizerSegmentationLib.scene.masses import masksOf, massOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.pieces import blockOf
from FactorizerSegmentationLib.scene.segments import labelsOf, segmentIdOf
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.volumes import localAffine, voxelsOf, worldAffine

AROUND_MM = 5.0
"""How far around a lesion a component counts as being at the lesion."""


NEW_SEGMENT = "Component"
"""Begins the id of a segment that was made of a component."""
_NEW_COLORS = (0.35, 0.8, 1.0), (1.0, 0.5, 0.9), (0.65, 0.55, 1.0)
"""Of such segments in turn, unlike those of classes; one by chance may look like a class."""


class Operation(Enum):
    """What becomes of a segment."""

    add = "add"
    intersect = "intersect"
    subtract = "subtract"


def activeMask(heatmapNode, part: float, segmentationNode) -> np.ndarray:
    """Where a component is strong, boolean, (I, J, K), on the grid of a segmentation's scan.

    Args:
        heatmapNode: Its activity, or its evidence on the side for which it speaks.
        part: Of the display range, 0 to 1, from which on it is strong.

    Raises:
        SceneError: If it is of another scan.
    """
    values, scan = voxelsOf(heatmapNode), referenceVolumeOf(segmentationNode)
    same = scan is not None and voxelsOf(scan).shape == values.shape
    if not same or not np.allclose(worldAffine(scan), worldAffine(heatmapNode), atol=1e-3):
        raise SceneError(_("The component belongs to another scan; explain this result first."))
    low, high = activeRange(heatmapNode, part)
    return (values >= low) & (values <= high)


def activeRange(heatmapNode, part: float) -> tuple[float, float]:
    """The lowest and the highest value where a component is strong, see `activeMask`.

    Raises:
        SceneError: If the node shows no component.
    """
    heatmap = heatmapOf(heatmapNode)
    if heatmap is None:
        raise SceneError(_("This volume shows no component; choose one in the list."))
    lowest, highest = heatmapNode.GetImageData().GetScalarRange()
    level = heatmap.sizeAt(part)
    if heatmap.sign < 0:
        return min(lowest, -level), -level
    return level, max(highest, level)


def atLesion(segmentationNode, lesion: Lesion) -> np.ndarray:
    """What is not farther than `AROUND_MM` from a lesion, (I, J, K).

    Raises:
        SceneError: If nothing of the lesion is left in the segments.
    """
    from scipy import ndimage

    labels = [label.value for label in labelsOf(segmentationNode)]
    masks = list(massOf(segmentationNode, lesion, labels).values())
    if not masks:
        raise SceneError(_("Nothing of the lesion is left in the segments; choose another one."))
    mass = np.any(masks, axis=0)
    spacing = referenceVolumeOf(segmentationNode).GetSpacing()
    margins = [int(np.ceil(AROUND_MM / step)) for step in spacing]
    box = tuple(
        slice(max(axis.start - margin, 0), axis.stop + margin)
        for axis, margin in zip(blockOf(mass), margins, strict=True)
    )
    around = np.zeros(mass.shape, bool)
    away = ndimage.distance_transform_edt(~mass[box], sampling=spacing)
    around[box] = away <= AROUND_MM
    return around


def inBox(segmentationNode, boxNode) -> np.ndarray:
    """What lies in a box, (I, J, K), on the grid of a segmentation's scan.

    Raises:
        SceneError: If there is no usable box.
    """
    if boxNode is None:
        raise SceneError(_("There is no box; draw one under 'Only inside a box' first."))
    scan = referenceVolumeOf(segmentationNode)
    world, inside = worldAffine(scan), np.zeros(voxelsOf(scan).shape, bool)
    box = worldBoxOf(boxNode)
    part = box.part_of(inside.shape, world)
    inside[part] = box.mask(part, world)
    return inside


class SegmentMasks:
    """Where the segments of a segmentation are, read again only when one has changed.

    Args:
        segmentationNode: Its scan is in the scene.
    """

    def __init__(self, segmentationNode) -> None:
        self.segmentationNode = segmentationNode
        self._seen: object = None
        self._masks: dict[str, np.ndarray] = {}

    def read(self) -> dict[str, np.ndarray]:
        """By segment id, boolean, (I, J, K), not to be changed."""
        state = self._state()
        if state != self._seen:
            self._seen, self._masks = state, masksOf(self.segmentationNode)
        return dict(self._masks)

    def _state(self) -> object:
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segmentation = self.segmentationNode.GetSegmentation()
        found = []
        for index in range(segmentation.GetNumberOfSegments()):
            image = segmentation.GetNthSegment(index).GetRepresentation(name)
            time = image.GetMTime() if image is not None else 0
            found.append((segmentation.GetNthSegmentID(index), time))
        return found


def changeOf(
    segments: SegmentMasks,
    segmentId: str | None,
    operation: Operation,
    active: np.ndarray,
    where: np.ndarray | None,
) -> Patch:
    """What an operation would change; nothing is changed yet.

    Classes of the model exclude each other: what one gains the others lose. Segments that are
    hidden keep what they have.

    Args:
        segments: Those of the segmentation.
        segmentId: What is changed; None is a segment that is yet to be made.
        active: Where the component is strong, (I, J, K).
        where: Only there something changes; None is everywhere.
    """
    segmentationNode, masks = segments.segmentationNode, segments.read()
    before = masks.pop(segmentId or "", np.zeros_like(active))
    changed = segmentId or NEW_SEGMENT
    allowed = active if where is None else active & where
    added: dict[str, np.ndarray] = {}
    removed: dict[str, np.ndarray] = {}
    if operation is Operation.add:
        added[changed] = allowed & ~before & ~_hidden(segmentationNode, masks)
        if _isClass(segmentationNode, changed):
            classes = [name for name in masks if _isClass(segmentationNode, name)]
            removed = {name: masks[name] & added[changed] for name in classes}
    elif operation is Operation.subtract:
        removed[changed] = before & allowed
    else:
        removed[changed] = before & ~active & (True if where is None else where)
    affine = localAffine(referenceVolumeOf(segmentationNode))
    return Patch(segmentationNode, added, removed, affine, byHand=True)


def changedVoxels(patch: Patch, segmentId: str | None) -> np.ndarray:
    """Which voxels one segment gains or loses, (I, J, K)."""
    changed = segmentId or NEW_SEGMENT
    return patch.added[changed] if changed in patch.added else patch.removed[changed]


def _hidden(segmentationNode, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """The voxels of the segments that are not shown."""
    display = segmentationNode.GetDisplayNode()
    hidden = [
        mask
        for segmentId, mask in masks.items()
        if display is not None and not display.GetSegmentVisibility(segmentId)
    ]
    return np.any(hidden, axis=0) if hidden else np.zeros(1, bool)


def _isClass(segmentationNode, segmentId: str) -> bool:
    return segmentId in {segmentIdOf(label.value) for label in labelsOf(segmentationNode)}


def segmentsOf(segmentationNode) -> list[tuple[str, str]]:
    """The segments of a segmentation, by id and name."""
    segmentation = segmentationNode.GetSegmentation()
    ids = map(segmentation.GetNthSegmentID, range(segmentation.GetNumberOfSegments()))
    return [(name, segmentation.GetSegment(name).GetName()) for name in ids]


def isMadeOfComponent(segmentId: str) -> bool:
    """Whether a segment was made by a `NewSegment`."""
    return segmentId.startswith(NEW_SEGMENT)


class NewSegment:
    """A segment that is no class of the model, made by a step that can be taken back.

    Args:
        segmentationNode: Where it is made.
        name: For people.
        patch: What it gets; made by `changeOf` for a segment that is yet to be made.
    """

    def __init__(self, segmentationNode, name: str, patch: Patch) -> None:
        self._node = segmentationNode
        self._name = name
        self._id = segmentationNode.GetSegmentation().GenerateUniqueSegmentID(NEW_SEGMENT)
        self._patch = replace(patch, added={self._id: patch.added[NEW_SEGMENT]})

    def apply(self) -> None:
        """Make it."""
        made = sum(isMadeOfComponent(name) for name, _title in segmentsOf(self._node))
        color = _NEW_COLORS[made % len(_NEW_COLORS)]
        self._node.GetSegmentation().AddEmptySegment(self._id, self._name, color)
        self._patch.apply()

    def overlaps(self, segments: SegmentMasks) -> bool:
        """Whether other segments are there, too."""
        masks, own = segments.read(), self._patch.added[self._id]
        return any((mask & own).any() for name, mask in masks.items() if name != self._id)

    def undo(self) -> None:
        """Take it away, with all that is in it."""
        self._node.GetSegmentation().RemoveSegment(self._id)
