"""Scribbles of the user: a segmentation that says what belongs to regions, and what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import Region
from FactorizerSegmentationLib.scene.clicks import CORRECTED, MARK_COLORS
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.updates import belongsTo
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, worldAffine

ROLE = "Scribbles"
_PREFIXES = {True: "Add_", False: "Remove_"}
_NOWHERE = np.zeros((), bool)


def isScribbles(segmentationNode) -> bool:
    """Whether a segmentation holds scribbles, and so nothing that was found or drawn."""
    return segmentationNode.GetAttribute(ROLE_ATTRIBUTE) == ROLE


class Scribbles:
    """The segments of one node: for each region one with what belongs to it, and one without.

    Args:
        parameters: The pack of the parameter node that keeps the node.
        painted: Called when a segment was changed.
    """

    def __init__(self, parameters, painted: Callable[[], None]) -> None:
        self._parameters, self._painted = parameters, painted
        self._observed: tuple[Any, int] | None = None
        self._seen: dict[str, np.ndarray] = {}

    @property
    def node(self):
        """The vtkMRMLSegmentationNode, or None before the first scribble."""
        return self._parameters.scribbles

    def ready(self, scene, volumeNode, region: Region, segmentationNode) -> Any:
        """The node of a segmentation (None: a new one) on the grid of a volume, observed.

        It has the segments of a region; the scribbles of other segmentations are hidden meanwhile.
        """
        node = self.node
        if node is None or not _serves(node, volumeNode, segmentationNode):
            if node is not None:
                node.GetDisplayNode().SetVisibility(False)
            node = _found(scene, volumeNode, segmentationNode) or _created(scene, volumeNode)
            node.GetDisplayNode().SetVisibility(True)
            self._parameters.scribbles = node
        segmentation = node.GetSegmentation()
        for add, name in ((True, _("{region}: add")), (False, _("{region}: remove"))):
            if segmentation.GetSegment(segmentIdOf(region.name, add)) is None:
                title = name.format(region=region.title)
                segmentation.AddEmptySegment(segmentIdOf(region.name, add), title, MARK_COLORS[add])
        self.watch()
        return node

    def watch(self) -> None:
        """Observe the node, if there is one; what is in it now is not new."""
        node = self.node
        if node is None or (self._observed is not None and self._observed[0] is node):
            return
        self.release()
        self._seen = dict(_masksOf(node))
        event = slicer.vtkSegmentation.SourceRepresentationModified
        tag = node.GetSegmentation().AddObserver(event, lambda *_: self._painted())
        self._observed = (node, tag)

    def release(self) -> None:
        """Observe nothing any more."""
        if self._observed is not None:
            node, tag = self._observed
            node.GetSegmentation().RemoveObserver(tag)
            self._observed = None

    def takeNew(self, region: str) -> list[Click]:
        """What was painted since this was asked last; its segments know the region themselves."""
        before, self._seen = self._seen, dict(_masksOf(self.node))
        painted = {n: m & ~before.get(n, _NOWHERE) for n, m in self._seen.items()}
        return _clicksOf(self.node, painted)

    def clicks(self, segmentationNode) -> list[Click]:
        """All that is painted but what `takeNew` has not told of, a click for each segment.

        Args:
            segmentationNode: What is corrected; of others nothing is told.
        """
        self.follow()
        found = []
        for node in self._nodes():
            masks = dict(_masksOf(node))
            if node is self.node:
                masks = {n: m & self._seen.get(n, _NOWHERE) for n, m in masks.items()}
            if _isOf(node, segmentationNode):
                found += _clicksOf(node, masks)
        return found

    def keep(self, click: Click, segmentationNode) -> None:
        """Remember which segmentation a scribble corrects."""
        if self.node is not None:
            self.node.SetNodeReferenceID(CORRECTED, segmentationNode.GetID())

    def add(self, click: Click, segmentationNode) -> None:
        """Paint a scribble, as when a step is done again."""
        self._change(click, segmentationNode, painted=True)

    def follow(self) -> None:
        """Take the scribbles along with the segmentations that they correct."""
        for node in self._nodes():
            corrected = node.GetNodeReference(CORRECTED)
            above = corrected.GetTransformNodeID() if corrected is not None else None
            if corrected is not None and above != node.GetTransformNodeID():
                node.SetAndObserveTransformNodeID(above)

    def forgetRemoved(self) -> None:
        """Segmentations have left the scene; what was painted stays for the user to delete."""

    def remove(self, click: Click, segmentationNode) -> None:
        """Take a scribble away from those of a segmentation (None: of none yet)."""
        self._change(click, segmentationNode, painted=False)

    def _change(self, click: Click, segmentationNode, painted: bool) -> None:
        self.follow()
        own = [it for it in self._nodes() if _isOf(it, segmentationNode)]
        own.sort(key=lambda it: it.GetNodeReference(CORRECTED) is None)  # those of none yet last
        if not own or (volumeNode := referenceVolumeOf(own[0])) is None:
            return
        node, name = own[0], segmentIdOf(click.region, click.add)
        if node.GetSegmentation().GetSegment(name) is None:
            return
        mask = maskOf(node, name, volumeNode)
        inverse = np.linalg.inv(worldAffine(volumeNode))
        voxels = np.array(click.points) @ inverse[:3, :3].T + inverse[:3, 3]
        mask[tuple(np.rint(voxels).astype(int).T)] = painted
        if node is self.node:
            self._seen[name] = mask
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.transpose(2, 1, 0).astype(np.uint8), node, name, volumeNode
        )

    def _nodes(self) -> Iterator[Any]:
        """The scribbles in the scene, those that were begun before the last ones, too."""
        return _scribblesIn(self._parameters.parameterNode.GetScene())


def segmentIdOf(region: str, add: bool) -> str:
    """The id of the segment with what belongs to a region, or does not."""
    return _PREFIXES[add] + region


def _masksOf(node) -> Iterator[tuple[str, np.ndarray]]:
    """Name and voxels, (I, J, K), of every segment of scribbles; None has none."""
    volumeNode = referenceVolumeOf(node) if node is not None else None
    if volumeNode is None:
        return
    for name in node.GetSegmentation().GetSegmentIDs():
        if name.startswith(tuple(_PREFIXES.values())):
            yield name, maskOf(node, name, volumeNode)


def _clicksOf(node, masks: Mapping[str, np.ndarray]) -> list[Click]:
    """A click for each segment of scribbles of which a part, (I, J, K), is told."""
    affine = worldAffine(referenceVolumeOf(node)) if masks else np.eye(4)
    found = []
    for name, mask in masks.items():
        points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
        if len(points):
            add = name.startswith(_PREFIXES[True])
            region = name.removeprefix(_PREFIXES[add])
            found.append(Click(region, tuple(map(tuple, points.tolist())), add))
    return found


def _isOf(node, segmentationNode) -> bool:
    """Whether scribbles correct a segmentation, or none yet."""
    return node.GetNodeReference(CORRECTED) in (None, segmentationNode)


def _serves(node, volumeNode, segmentationNode) -> bool:
    return belongsTo(node, volumeNode) and _isOf(node, segmentationNode)


def _found(scene, volumeNode, segmentationNode):
    """Scribbles that were begun before, or None."""
    nodes = _scribblesIn(scene)
    return next((node for node in nodes if _serves(node, volumeNode, segmentationNode)), None)


def _scribblesIn(scene) -> Iterator[Any]:
    return filter(isScribbles, slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene))


def _created(scene, volumeNode):
    name = scene.GenerateUniqueName(_("Scribbles"))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAttribute(ROLE_ATTRIBUTE, ROLE)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    return node
