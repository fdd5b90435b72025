"""Segmentation nodes as label maps, for the engine to read, whoever drew them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Label, ModelDescription
from factorizer_engine.protocol.segmentations import MODEL_TAG, SegmentationFile
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.component_masks import isMadeOfComponent
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.hand_edits import editedVoxels
from FactorizerSegmentationLib.scene.masses import maskOf, referenceVolumeOf
from FactorizerSegmentationLib.scene.segments import describe, labelOf, tagOf
from FactorizerSegmentationLib.scene.tables import (
    follow,
    lesionTableOf,
    presentIn,
    rejectedIn,
)
from FactorizerSegmentationLib.scene.volumes import worldAffine

MODEL_ATTRIBUTE = "FactorizerSegmentation.Model"
"""Says in the scene which model, of which version, made a segmentation."""
UPSIDE_DOWN_ATTRIBUTE = "FactorizerSegmentation.UpsideDown"
"""Says that the head stands on its top in the scan, so that its sides are unknown."""
DRAWN_ATTRIBUTE = "FactorizerSegmentation.Drawn"
_MOST_LABELS = 255


def rememberDrawn(
    segmentationNode, labelmap: np.ndarray, labels: Sequence[Label]
) -> Iterator[None]:
    """Write down what the model has drawn, so that changes can be told later.

    The application may have its turn at every `yield`.

    Args:
        labelmap: Label values, shape (I, J, K), on the grid of the scan.
    """
    sums = {}
    for label in labels:
        sums[str(label.value)] = _sum(labelmap == label.value)
        yield
    segmentationNode.SetAttribute(DRAWN_ATTRIBUTE, json.dumps(sums))


def rememberUpsideDown(segmentationNode, upsideDown: bool) -> None:
    """Write down whether the head stands on its top in the scan of a segmentation."""
    segmentationNode.SetAttribute(UPSIDE_DOWN_ATTRIBUTE, "1" if upsideDown else None)


def rememberModel(node, model: ModelDescription) -> None:
    """Note of which model a segmentation or an explanation is, and of which version.

    Its segments tell it in files, too, which keep nothing else of the scene.
    """
    made = f"{model.name} {model.version}"
    node.SetAttribute(MODEL_ATTRIBUTE, made)
    if node.IsA("vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        for segmentId in filter(labelOf, segmentation.GetSegmentIDs()):
            segmentation.GetSegment(segmentId).SetTag(MODEL_TAG, made)


def rememberAnswers(node, model: ModelDescription) -> None:
    """Note that a model has answered clicks on what people or another program had drawn."""
    if node.GetAttribute(MODEL_ATTRIBUTE) is None:
        rememberModel(node, model)


def madeBy(node) -> tuple[str, str]:
    """Name and version of the model that has drawn a segmentation, both "" if none has.

    Of one that was loaded from a file its segments tell.
    """
    segmentation = node.GetSegmentation()
    tags = (tagOf(segmentation.GetSegment(it), MODEL_TAG) for it in segmentation.GetSegmentIDs())
    told = node.GetAttribute(MODEL_ATTRIBUTE) or next(filter(None, tags), "")
    name, _space, version = told.rpartition(" ")
    return name, version


def perhapsEdited(node, file: SegmentationFile) -> SegmentationFile:
    """What is told of a segmentation if people may have changed all that a model has drawn in it.

    That is so where nobody has noted what it drew, as of one that was loaded from a file.
    """
    if not file.model or node.GetAttribute(DRAWN_ATTRIBUTE) is not None:
        return file
    names = (label.name for label in file.labels)
    return replace(file, edited=tuple(name for name in names if name not in file.added))


def isUpsideDown(segmentationNode) -> bool:
    """See `rememberUpsideDown`."""
    return segmentationNode.GetAttribute(UPSIDE_DOWN_ATTRIBUTE) is not None


def saveSegmentation(segmentationNode, path: Path) -> Generator[None, None, SegmentationFile]:
    """Write the segments for the engine to read, on the grid of their scan.

    What was made of a component and overlaps other segments is left out. The application may have
    its turn at every `yield`.

    Raises:
        SceneError: If the scan is gone, segments overlap, or the file cannot be written.
    """
    volumeNode = referenceVolumeOf(segmentationNode)
    if volumeNode is None:
        raise SceneError(_("The scan of the segmentation was deleted; load it again."))
    labelmap = np.zeros(volumeNode.GetImageData().GetDimensions(), np.uint8)
    labels: list[Label] = []
    others: dict[bool, list[str]] = {True: [], False: []}
    # names of what is no class of the model, by whether it was made of a component
    for segmentId, label in _labels(segmentationNode):
        mask = maskOf(segmentationNode, segmentId, volumeNode)
        below = set(np.unique(labelmap[mask]).tolist())
        other = next((other for other in labels if other.value in below), None)
        if other is not None and isMadeOfComponent(segmentId):
            continue
        if other is not None:
            raise SceneError(
                _(
                    "The segments '{first}' and '{second}' overlap; take the common part from "
                    "one of them in the Segment Editor."
                ).format(first=other.name, second=label.name)
            )
        labelmap[mask] = label.value
        labels.append(label)
        if labelOf(segmentId) is None:
            others[isMadeOfComponent(segmentId)].append(label.name)
        yield
    model, version = madeBy(segmentationNode)
    try:
        name = segmentationNode.GetName()
        affine = worldAffine(volumeNode)
        file = ScanFile.save(labelmap, affine, path, name)
        edits, byHand = editedVoxels(segmentationNode), None
        if edits is not None and edits.shape == labelmap.shape[::-1]:
            beside = path.with_name(f"{path.stem}-by-hand.npy")
            byHand = ScanFile.save(edits.transpose(2, 1, 0).astype(np.uint8), affine, beside)
    except OSError as error:
        raise SceneError(
            _("The segmentation could not be handed to the engine ({reason}).").format(
                reason=error.strerror or error
            )
        ) from error
    edited = (yield from _changed(segmentationNode, labelmap, labels)) if model else ()
    return SegmentationFile(
        file,
        tuple(labels),
        model,
        version,
        (*edited, *others[True]),  # which end where the user wanted
        tuple(others[False]),
        byHand,
        isUpsideDown(segmentationNode),
        *_numbered(segmentationNode, affine),
    )


def _numbered(segmentationNode, world: np.ndarray) -> tuple[tuple[Lesion, ...], tuple[int, ...]]:
    """The lesions by their numbers in the list, and the numbers of those that were rejected.

    Args:
        world: 4x4, where the scan is now.
    """
    tableNode = lesionTableOf(segmentationNode)
    if tableNode is None:
        return (), ()
    follow(tableNode, world)
    return tuple(presentIn(tableNode)), tuple(lesion.id for lesion in rejectedIn(tableNode))


def _labels(segmentationNode) -> Iterator[tuple[str, Label]]:
    """Id and label of every segment, those made of components last.

    Those of the user get values that are free.
    """
    segmentation = segmentationNode.GetSegmentation()
    ids = sorted(segmentation.GetSegmentIDs(), key=isMadeOfComponent)
    own = {segmentId: value for segmentId in ids if (value := labelOf(segmentId)) is not None}
    free = (value for value in count(1) if value not in own.values())
    for segmentId in ids:
        value = own[segmentId] if segmentId in own else next(free)
        if value > _MOST_LABELS:
            raise SceneError(_("There are too many segments; delete those that are not needed."))
        yield segmentId, describe(segmentation.GetSegment(segmentId), value)


def _changed(
    segmentationNode, labelmap: np.ndarray, labels: Sequence[Label]
) -> Generator[None, None, tuple[str, ...]]:
    """Names of the labels whose voxels are not those that the model drew, as far as is known."""
    try:
        sums = json.loads(segmentationNode.GetAttribute(DRAWN_ATTRIBUTE) or "{}")
    except ValueError:  # a scene file can hold anything
        return ()
    changed = []
    for label in labels:
        yield
        drawn = sums.get(str(label.value)) if isinstance(sums, dict) else None
        if drawn is not None and drawn != _sum(labelmap == label.value):
            changed.append(label.name)
    return tuple(changed)


def _sum(mask: np.ndarray) -> int:
    return zlib.crc32(np.packbits(mask).tobytes())
