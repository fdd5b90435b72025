"""Which segmentations are of one study, which is one visit of a patient."""

from __future__ import annotations

from collections.abc import Collection

from FactorizerSegmentationLib.scene.dicom import visitOf
from FactorizerSegmentationLib.scene.masses import referenceVolumeOf
from FactorizerSegmentationLib.scene.subjects import studyItemOf


def areOfOneStudy(segmentationNode, other, together: Collection[object] = ()) -> bool:
    """Whether two segmentations are of one study, as far as that is known.

    Args:
        segmentationNode, other: Two vtkMRMLSegmentationNode.
        together: Volumes of which it is known that they are of one study.
    """
    first, second = referenceVolumeOf(segmentationNode), referenceVolumeOf(other)
    if first is None or second is None:
        return False
    if first is second or (first in together and second in together):
        return True
    (study, date), (otherStudy, otherDate) = visitOf(first), visitOf(second)
    if date and otherDate and date != otherDate:
        return False  # identifiers that were made anonymous can be alike
    item = studyItemOf(first)
    return (study != "" and study == otherStudy) or (item != 0 and item == studyItemOf(second))
