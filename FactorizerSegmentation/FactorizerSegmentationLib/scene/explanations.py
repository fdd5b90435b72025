"""Explanations: the heatmaps of a run as the named steps of one sequence node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.heatmaps import (
    ACTIVITY,
    EVIDENCE,
    Explanation,
    Heatmap,
    hasVoxels,
    heatmapOf,
    parsed,
)
from FactorizerSegmentationLib.scene.removing import removeWithDisplays
from FactorizerSegmentationLib.scene.shown_map import isShownMap
from FactorizerSegmentationLib.scene.subjects import dissolveFolder, putBeside
from FactorizerSegmentationLib.scene.volumes import (
    ROLE_ATTRIBUTE,
    Place,
    localAffine,
    matrixToWorld,
    saveVoxels,
    voxelsOf,
    worldAffine,
)

ROLE, OWN_VOXELS_ROLE = "Explanation", "OwnVoxels"
STEPS_ATTRIBUTE = "FactorizerSegmentation.Heatmaps"
TRANSFORM_REFERENCE = "FactorizerSegmentation.Transform"
"""Node reference to the transform of the scan, which nodes inside a sequence cannot have."""

OWN_VOXELS_REFERENCE = "FactorizerSegmentation.OwnVoxels"
"""Node reference to a sequence with the same steps on the model's grid. All volumes of a sequence
have one grid, or it could not be saved as one file; older Slicers do not save hidden nodes."""


RESULT_REFERENCE = "FactorizerSegmentation.ExplainedResult"
"""Node reference to the table of lesions that an explanation explains; those of old scenes have
none."""


@dataclass(frozen=True, eq=False)
class Step:
    """One map of one component.

    Attributes:
        sequenceNode: The vtkMRMLSequenceNode that keeps it.
        name: By which the sequence knows it.
        heatmap: What it shows.
    """

    sequenceNode: Any
    name: str
    heatmap: Heatmap

    @property
    def key(self) -> str:
        """By which it is told from all others of the scene."""
        return f"{self.sequenceNode.GetID()} {self.name}"

    @property
    def volumeNode(self):
        """The volume inside the sequence; it belongs to no scene of the user's."""
        return self.sequenceNode.GetDataNodeAtValue(self.name)

    @property
    def ownVolumeNode(self):
        """The volume with the voxels of the component's block; that on the scan's grid without."""
        ownNode = self.sequenceNode.GetNodeReference(OWN_VOXELS_REFERENCE)
        volumeNode = ownNode.GetDataNodeAtValue(self.name) if ownNode is not None else None
        return volumeNode if volumeNode is not None and hasVoxels(volumeNode) else self.volumeNode

    @property
    def transformId(self) -> str | None:
        """The transform above it, in the scene."""
        return self.sequenceNode.GetNodeReferenceID(TRANSFORM_REFERENCE)

    @property
    def exists(self) -> bool:
        """Whether it has not been deleted in the scene."""
        return self.sequenceNode.GetScene() is not None and self.volumeNode is not None

    def worldAffine(self) -> np.ndarray:
        """4x4 matrix from voxel indices (i, j, k, 1) to world RAS in mm.

        Raises:
            SceneError: If the transform above is not linear.
        """
        transformNode = self.sequenceNode.GetNodeReference(TRANSFORM_REFERENCE)
        return matrixToWorld(transformNode, self.name) @ localAffine(self.volumeNode)

    def save(self, path: Path) -> ScanFile:
        """Write it for the engine to read.

        Raises:
            SceneError: If it has no place, or the file cannot be written.
        """
        return saveVoxels(voxelsOf(self.volumeNode), self.worldAffine(), path, self.name)


def createExplanation(scene, name: str, place: Place):
    """A new sequence node for the heatmaps of a run, beside their scan.

    Args:
        place: Where all its heatmaps lie.
    """
    _dropLostVoxels(scene)
    node = _sequence(scene, name)
    node.SetAttribute(ROLE_ATTRIBUTE, ROLE)
    node.SetNodeReferenceID(TRANSFORM_REFERENCE, place.transformId)
    putBeside(node, place.volumeNode)
    return node


def addStep(sequenceNode, heatmap: Heatmap, image, affine: np.ndarray) -> Step:
    """Keep a heatmap as the last step of a sequence.

    Args:
        image: Its values, a vtkImageData, which is not copied.
        affine: 4x4 matrix from voxel indices to RAS in mm below the transform of the scan.
    """
    name = heatmap.title
    _keep(sequenceNode, name, image, affine)
    described = _described(sequenceNode.GetAttribute(STEPS_ATTRIBUTE) or "")
    described[name] = heatmap.to_dict()
    sequenceNode.SetAttribute(STEPS_ATTRIBUTE, json.dumps(described))
    return Step(sequenceNode, name, heatmap)


def addOwnVoxels(step: Step, image, affine: np.ndarray) -> None:
    """Keep how a step looks with the voxels of its component's block.

    Args:
        image: Its values on the model's grid, a vtkImageData, which is not copied.
        affine: As for `addStep`.
    """
    ownNode = step.sequenceNode.GetNodeReference(OWN_VOXELS_REFERENCE)
    if ownNode is None:
        name = _("{name} (own voxels)").format(name=step.sequenceNode.GetName())
        ownNode = _sequence(step.sequenceNode.GetScene(), name)
        ownNode.SetAttribute(ROLE_ATTRIBUTE, OWN_VOXELS_ROLE)
        putBeside(ownNode, step.sequenceNode)
        step.sequenceNode.SetNodeReferenceID(OWN_VOXELS_REFERENCE, ownNode.GetID())
    _keep(ownNode, step.name, image, affine)


def bindToResult(step: Step, tableNode) -> None:
    """Remember of which result, known by its table of lesions, the explanation of a step is."""
    step.sequenceNode.SetNodeReferenceID(RESULT_REFERENCE, tableNode.GetID())


def isOfResult(step: Step, tableNode, surely: bool = False) -> bool:
    """Whether a step explains the result of a table of lesions.

    Args:
        surely: Whether it does not if that is not known, as in old scenes.
    """
    known = step.sequenceNode.GetNodeReferenceID(RESULT_REFERENCE)
    if known is None:
        return not surely
    return tableNode is not None and known == tableNode.GetID()


def lastOfResult(leading: Iterable[Step], tableNode) -> list[Step]:
    """What is told of a result elsewhere: of each lesion, and of all, what was explained last.

    Args:
        leading: The leading heatmaps of a scene.
        tableNode: The lesions of the result, or None.
    """
    own = [step for step in leading if isOfResult(step, tableNode)]
    sure = [step for step in own if step.sequenceNode.GetNodeReferenceID(RESULT_REFERENCE)]
    found = explanationsIn(sure or own)
    last: dict[int, list[Step]] = {}
    for explanation, steps in found.items():
        last.setdefault(explanation.lesion or 0, steps)
    return [step for lesion in sorted(last) for step in last[lesion]]


def componentTold(step: Step) -> Component:
    """The component of a step, by a name that says which lesion was explained."""
    component, lesion = step.heatmap.component, step.heatmap.explanation.lesion
    if lesion is None:
        return component
    name = _("{name} (for lesion {number})").format(name=component.name, number=lesion)
    return replace(component, name=name)


def removeExplanation(sequenceNode) -> None:
    """Take an explanation out of its scene."""
    scene, ownNode = sequenceNode.GetScene(), sequenceNode.GetNodeReference(OWN_VOXELS_REFERENCE)
    for node in (sequenceNode, ownNode):
        if node is not None:
            scene.RemoveNode(node)


def stepsOf(sequenceNode) -> list[Step]:
    """The steps of an explanation, in their order, as far as their voxels are there."""
    found = [Step(sequenceNode, name, it) for name, it in _contents(sequenceNode).items()]
    return [step for step in found if step.exists and hasVoxels(step.volumeNode)]


def leadingIn(scene) -> list[Step]:
    """The steps that stand for their components: evidence, or activity without evidence.

    Those of the oldest explanation come first.
    """
    leading: list[Step] = []
    for node in _explanationNodes(scene):
        first: dict[str, Step] = {}
        for step in stepsOf(node):
            name = step.heatmap.component.name
            if name not in first or step.heatmap.kind == EVIDENCE:
                first[name] = step
        leading += first.values()
    return leading


def stepOf(leading: Step, kind: str) -> Step:
    """The map of that kind of the same component; `leading` itself if there is none."""
    if kind == leading.heatmap.kind or kind != ACTIVITY:
        return leading
    component = leading.heatmap.component
    for step in stepsOf(leading.sequenceNode):
        if step.heatmap.kind == kind and step.heatmap.component.name == component.name:
            return step
    return leading


def liesOn(step: Step, volumeNode) -> bool:
    """Whether a heatmap has the voxels of a scan."""
    images = step.volumeNode.GetImageData(), volumeNode.GetImageData()
    same = len({image.GetDimensions() for image in images}) == 1
    return same and np.allclose(step.worldAffine(), worldAffine(volumeNode), atol=1e-3)


def explanationsIn(leading: Iterable[Step]) -> dict[Explanation, list[Step]]:
    """The leading steps of each explanation, the last explanation first."""
    found: dict[Explanation, list[Step]] = {}
    for step in leading:
        found.setdefault(step.heatmap.explanation, []).append(step)
    return {key: found[key] for key in sorted(found, key=lambda item: -item.number)}


def nextNumber(scene) -> int:
    """The number of the next explanation in a scene."""
    known = [it for node in _explanationNodes(scene) for it in _contents(node).values()]
    return 1 + max((heatmap.explanation.number for heatmap in known), default=0)


def gatherVolumes(scene) -> None:
    """Turn the heatmaps of an old scene, which were volumes there, into explanations."""
    found: dict[Explanation, list] = {}
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
        heatmap = heatmapOf(node)
        if heatmap is not None and hasVoxels(node) and not isShownMap(node):
            found.setdefault(heatmap.explanation, []).append((node, heatmap))
    for several in found.values():
        first = several[0][0]
        name = dissolveFolder([node for node, heatmap in several]) or first.GetName()
        place = Place(localAffine(first), first.GetTransformNodeID(), first)
        sequenceNode = createExplanation(scene, name, place)
        for node, heatmap in several:
            addStep(sequenceNode, heatmap, node.GetImageData(), localAffine(node))
            removeWithDisplays(node)


def _sequence(scene, name: str):
    node = slicer.vtkMRMLSequenceNode()
    node.SetName(scene.GenerateUniqueName(name))
    node.SetIndexType(node.TextIndex)
    node.SetIndexName(_("heatmap"))
    node.SetIndexUnit("")
    scene.AddNode(node)
    return node


def _keep(sequenceNode, name: str, image, affine: np.ndarray) -> None:
    """Make a volume with an image the last step of a sequence."""
    bare = slicer.vtkMRMLScalarVolumeNode()
    bare.SetName(name)
    node = sequenceNode.SetDataNodeAtValue(bare, name)  # a copy, and so without voxels yet
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    node.SetAndObserveImageData(image)


def _dropLostVoxels(scene) -> None:
    """Remove sequences of own voxels whose explanations were deleted."""
    explanations = _explanationNodes(scene)
    kept = {node.GetNodeReferenceID(OWN_VOXELS_REFERENCE) for node in explanations}
    for node in _explanationNodes(scene, OWN_VOXELS_ROLE):
        if node.GetID() not in kept:
            scene.RemoveNode(node)


def _explanationNodes(scene, role: str = ROLE) -> list:
    nodes = slicer.util.getNodesByClass("vtkMRMLSequenceNode", scene)
    return [node for node in nodes if node.GetAttribute(ROLE_ATTRIBUTE) == role]


def _contents(sequenceNode) -> dict[str, Heatmap]:
    """What the steps of a sequence show, by their names."""
    return dict(_parsedAll(sequenceNode.GetAttribute(STEPS_ATTRIBUTE) or ""))


@lru_cache(maxsize=64)  # asked for at every turn, and long
def _parsedAll(text: str) -> dict[str, Heatmap]:
    known = {name: parsed(it) for name, it in _described(text).items()}
    return {name: heatmap for name, heatmap in known.items() if heatmap is not None}


def _described(text: str) -> dict[str, Any]:
    """Decoded JSON of the steps by their names; a scene file can hold anything."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
