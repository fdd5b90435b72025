"""Clicks of the user: markups in the scene, one node for those that add and one for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.nesting import mask_of
from factorizer_engine.protocol.triples import triple
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.noted_places import movedPoint, movement
from FactorizerSegmentationLib.scene.place_mode import addUnplaced
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE, worldAffine

MARK_COLORS = {True: (0.25, 0.85, 0.35), False: (0.95, 0.3, 0.25)}

CORRECTED = "Corrected"
"""Role, or its beginning, of references to the segmentations that clicks and scribbles correct."""


class ClickMarks:
    """The points of one node, each with the name of its region as its label.

    A point's description is the role by which the node refers to the segmentation it corrects.

    Args:
        parameters: The pack of the parameter node that keeps the nodes.
        add: Whether these clicks add to their regions.
        placed: Called when the user has placed points.
    """

    def __init__(self, parameters, add: bool, placed: Callable[[], None]) -> None:
        self._parameters, self._add, self._placed = parameters, add, placed
        self._observed: tuple[Any, int] | None = None

    @property
    def node(self):
        """The vtkMRMLMarkupsFiducialNode, or None before the first click."""
        return self._parameters.addingClicks if self._add else self._parameters.removingClicks

    def ready(self, scene) -> Any:
        """The node, made if it is missing, observed for points that are placed."""
        node = self.node
        if node is None:
            name = _("Clicks that add") if self._add else _("Clicks that remove")
            node = slicer.vtkMRMLMarkupsFiducialNode()
            node.SetName(scene.GenerateUniqueName(name))
            addUnplaced(scene, node)
            node.SetAttribute(ROLE_ATTRIBUTE, "Clicks")
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetSelectedColor(*MARK_COLORS[self._add])
            node.GetDisplayNode().SetPointLabelsVisibility(False)
            if self._add:
                self._parameters.addingClicks = node
            else:
                self._parameters.removingClicks = node
        self.watch()
        return node

    def watch(self) -> None:
        """Observe the node, if there is one, for points that are placed."""
        node = self.node
        if node is None or (self._observed is not None and self._observed[0] is node):
            return
        self.release()
        event = slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent
        self._observed = (node, node.AddObserver(event, lambda *_: self._placed()))

    def release(self) -> None:
        """Observe nothing any more."""
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
            self._observed = None

    def add(self, click: Click, segmentationNode) -> None:
        """Put a click on a segmentation into the scene, as when a step is done again."""
        node = self.node
        if node is not None:
            self.follow()
            self.release()
            index = node.AddControlPointWorld(list(click.points[0]), click.region)
            node.SetNthControlPointLocked(index, True)
            self.keep(click, segmentationNode)
            self.watch()

    def keep(self, click: Click, segmentationNode) -> None:
        """Remember which segmentation a click corrects."""
        index = self._indexOf(click, None)
        if index is not None:
            role = _roleOf(self.node, segmentationNode)
            self.node.SetNthControlPointDescription(index, role)
            self.follow()

    def takeNew(self, region: str) -> list[Click]:
        """Give points that were just placed the name of a region, and tell of them."""
        node, clicks = self.node, []
        for index in _placedIn(node):
            if not node.GetNthControlPointLocked(index):
                node.SetNthControlPointLabel(index, region)
                node.SetNthControlPointLocked(index, True)
                clicks.append(Click(region, (_pointOf(node, index),), self._add))
        return clicks

    def remove(self, click: Click, segmentationNode) -> None:
        """Take away the last click in a place on a segmentation (None: on none yet)."""
        self.follow()
        index = self._indexOf(click, segmentationNode)
        if index is not None:
            self.node.RemoveNthControlPoint(index)

    def clicks(self, segmentationNode) -> list[Click]:
        """Those on a segmentation, but what `takeNew` has not told of."""
        self.follow()
        node = self.node
        return [
            Click(node.GetNthControlPointLabel(index), (_pointOf(node, index),), self._add)
            for index in _placedIn(node)
            if node.GetNthControlPointLocked(index) and _isOn(node, index, segmentationNode)
        ]

    def follow(self) -> None:
        """Take the clicks along whose scans were moved, as by transforms above them."""
        node = self.node
        roles = [(index, node.GetNthControlPointDescription(index)) for index in _placedIn(node)]
        for role in {role for _index, role in roles if role.startswith(CORRECTED)}:
            world = _worldBelow(node.GetNodeReference(role))
            matrix = movement(node, world, f"{role}.World") if world is not None else None
            if matrix is None:
                continue
            for index in (index for index, its in roles if its == role):
                place = movedPoint(matrix, _pointOf(node, index))
                node.SetNthControlPointPositionWorld(index, *place)

    def forgetRemoved(self) -> None:
        """Take away what corrected segmentations that have left the scene."""
        node = self.node
        for index in reversed(_placedIn(node)):
            role = node.GetNthControlPointDescription(index)
            if role.startswith(CORRECTED) and node.GetNodeReference(role) is None:
                node.RemoveNthControlPoint(index)

    def _indexOf(self, click: Click, segmentationNode) -> int | None:
        """The last point in the place of a click on a segmentation, on its region."""
        node = self.node
        for index in reversed(_placedIn(node)):
            same = np.allclose(_pointOf(node, index), click.points[0], atol=1e-3)
            same &= node.GetNthControlPointLabel(index) == click.region
            if same and _isOn(node, index, segmentationNode):
                return index
        return None


def whereItIs(click: Click, world: np.ndarray, volumeNode) -> Click:
    """A click on the same voxels, wherever their scan is now.

    Args:
        world: 4x4, where the scan lay when it was clicked on.
    """
    try:
        matrix = worldAffine(volumeNode) @ np.linalg.inv(world)
    except SceneError:  # it is warped
        return click
    return replace(click, points=tuple(movedPoint(matrix, point) for point in click.points))


def holding(
    clicks: Sequence[Click], labels: np.ndarray, regions: Sequence[Region], volumeNode
) -> list[Click]:
    """What of clicks is true of a label map; what the user has edited since is not undone.

    Args:
        labels: (I, J, K) on the grid of the volume.
        regions: Of the model; clicks on others are left out.
    """
    inverse = np.linalg.inv(worldAffine(volumeNode))
    named = {region.name: region for region in regions}
    found = []
    for click in clicks:
        if click.region not in named:
            continue
        points = np.array(click.points)
        voxels = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        inside = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
        values = labels[tuple(voxels[inside].T)]
        true = mask_of(values, named[click.region], regions) == click.add
        if true.any():
            kept = points[inside][true].tolist()
            found.append(replace(click, points=tuple(map(tuple, kept))))
    return found


def _isOn(node, index: int, segmentationNode) -> bool:
    """Whether a point corrects a segmentation, or none yet; older scenes do not say it."""
    role = node.GetNthControlPointDescription(index)
    return not role or node.GetNodeReference(role) is segmentationNode


def _roleOf(node, segmentationNode) -> str:
    """The role by which a node refers to a segmentation, made if it is missing."""
    role = f"{CORRECTED}.{segmentationNode.GetID()}"
    while node.GetNodeReference(role) not in (None, segmentationNode):  # merged scenes
        role += "_"
    node.SetNodeReferenceID(role, segmentationNode.GetID())
    return role


def _worldBelow(segmentationNode) -> np.ndarray | None:
    """Where the scan of a segmentation lies, 4x4; None if either is gone, or it is warped."""
    volumeNode = referenceVolumeOf(segmentationNode) if segmentationNode is not None else None
    try:
        return worldAffine(volumeNode) if volumeNode is not None else None
    except SceneError:
        return None


def _placedIn(node) -> list[int]:
    """The indices of a node's points (None has none) but that which follows the mouse, if any.

    It is the last one only until a point is added by a key.
    """
    count = node.GetNumberOfControlPoints() if node is not None else 0
    placed = slicer.vtkMRMLMarkupsNode.PositionDefined
    return [i for i in range(count) if node.GetNthControlPointPositionStatus(i) == placed]


def _pointOf(node, index: int) -> tuple[float, float, float]:
    point = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(index, point)
    return triple(point)
