"""What a user says about a lesion, and what that does to the segments."""

from __future__ import annotations

from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.scene.history import History, Step
from FactorizerSegmentationLib.scene.masses import (
    masksOf,
    massOf,
    referenceVolumeOf,
    rememberRemoved,
    removedMass,
)
from FactorizerSegmentationLib.scene.tables import (
    ACCEPTED,
    REJECTED,
    UNDECIDED,
    lesionsOf,
    setVerdict,
    verdictsOf,
)
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.volumes import localAffine


def problem(segmentationNode) -> str:
    """One sentence on why nothing can be decided, or the empty string."""
    if segmentationNode is None:
        return _("The segmentation was deleted.")
    if referenceVolumeOf(segmentationNode) is None:
        return _("The scan of the segmentation was deleted; load it again.")
    return ""


def decide(segmentationNode, tableNode, lesion: Lesion, verdict: str, history: History) -> None:
    """Write down a verdict; a rejected lesion leaves the segments, any other is there.

    What is taken out of the segments is what is connected to the lesion now, and just that comes
    back, where nothing else has been painted meanwhile.
    """
    before = verdictsOf(tableNode).get(lesion.id, UNDECIDED)
    if verdict == before:
        return
    patch = None
    kept = removedMass(tableNode, lesion.id)
    removed = {} if verdict != REJECTED else kept
    if verdict == REJECTED and before != REJECTED:
        removed = massOf(segmentationNode, lesion, _labels(tableNode))
        patch = _patch(segmentationNode, {}, removed)
    elif before == REJECTED:
        patch = _patch(segmentationNode, _free(segmentationNode, kept), {})

    def note(masks: dict, said: str) -> None:
        if tableNode.GetScene() is not None:  # the list may have been deleted
            rememberRemoved(tableNode, lesion.id, masks)
            setVerdict(tableNode, lesion.id, said)

    def redo() -> None:
        if patch is not None:
            patch.apply()
        note(removed, verdict)

    def undo() -> None:
        if patch is not None:
            patch.undo()
        note(kept, before)

    redo()
    needed = (segmentationNode, tableNode) if patch is None else (segmentationNode,)
    history.add(Step(_title(verdict, lesion), undo, redo, needed))


def _title(verdict: str, lesion: Lesion) -> str:
    title = _("lesion {number} is to be looked at again")
    if verdict == ACCEPTED:
        title = _("lesion {number} accepted")
    elif verdict == REJECTED:
        title = _("lesion {number} rejected")
    return title.format(number=lesion.id)


def _labels(tableNode) -> set[int]:
    return {part.label for lesion in lesionsOf(tableNode) for part in lesion.parts}


def _patch(segmentationNode, added: dict, removed: dict) -> Patch:
    affine = localAffine(referenceVolumeOf(segmentationNode))
    return Patch(segmentationNode, added, removed, affine)


def _free(segmentationNode, masks: dict) -> dict:
    """The masks without the voxels that any segment has now."""
    volumeNode = referenceVolumeOf(segmentationNode)
    shape = next(iter(masks.values())).shape if masks else None
    if shape != volumeNode.GetImageData().GetDimensions():
        return {}
    taken = None
    for mask in masksOf(segmentationNode).values():
        taken = mask if taken is None else taken | mask
    return masks if taken is None else {name: mask & ~taken for name, mask in masks.items()}
