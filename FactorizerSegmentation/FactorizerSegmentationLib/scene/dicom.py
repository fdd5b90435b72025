"""What DICOM tells of a volume that was loaded from it. Age and sex are never asked for."""

from __future__ import annotations

import slicer

from factorizer_engine.protocol.series import Facts
from factorizer_engine.protocol.volumes import Origin, mark_of
from FactorizerSegmentationLib.scene.dicom_database import instancesOf, openDatabase

_TAGS = {
    "SeriesDescription": "0008,103e",
    "ProtocolName": "0018,1030",
    "SequenceName": "0018,0024",
    "ImageType": "0008,0008",
    "ScanningSequence": "0018,0020",
    "EchoTime": "0018,0081",
    "RepetitionTime": "0018,0080",
    "InversionTime": "0018,0082",
    "ContrastBolusAgent": "0018,0010",
    "DiffusionBValue": "0018,9087",
    "PatientID": "0010,0020",
    "StudyInstanceUID": "0020,000d",
    "StudyDate": "0008,0020",
    "SeriesNumber": "0020,0011",
    "FrameOfReferenceUID": "0020,0052",
}


def factsOf(volumeNode) -> Facts | None:
    """How a volume was acquired, from Slicer's DICOM database; None if that does not know it."""
    read = _Header(volumeNode)
    if not read.isInDatabase:
        return None
    techniques = read.values("ScanningSequence")
    words = (read.text(name) for name in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return Facts(
        words=" ".join(filter(None, words)),
        image_type=frozenset(value.upper() for value in read.values("ImageType")),
        echo_ms=read.number("EchoTime"),
        repetition_ms=read.number("RepetitionTime"),
        inversion_ms=read.number("InversionTime"),
        gradient_echo="GR" in techniques and "SE" not in techniques,
        agent=read.text("ContrastBolusAgent"),
        b_value=read.number("DiffusionBValue"),
        patient=read.text("PatientID"),
        study=read.text("StudyInstanceUID"),
        date=read.text("StudyDate"),
        number=read.number("SeriesNumber"),
    )


def originOf(volumeNode) -> Origin:
    """Whose and of when a volume is, and the space it was acquired in, as far as Slicer knows.

    What a transform moves is no longer tied to that space.
    """
    read = _Header(volumeNode)
    transform = volumeNode.GetParentTransformNode()
    return Origin(
        patient=mark_of(read.text("PatientID")),
        date=read.text("StudyDate"),
        frame=read.text("FrameOfReferenceUID") if transform is None else "",
        transform=transform.GetName() if transform is not None else "",
    )


def visitOf(volumeNode) -> tuple[str, str]:
    """The identifier and the date of the study of a volume, each "" if Slicer does not know it."""
    read = _Header(volumeNode)
    return read.text("StudyInstanceUID"), read.text("StudyDate")


class _Header:
    """Reads elements of the first image of a volume, else of its place in the subject hierarchy."""

    def __init__(self, volumeNode) -> None:
        self._hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(
            volumeNode.GetScene()
        )
        self._item = self._hierarchy.GetItemByDataNode(volumeNode)
        self._database = openDatabase()
        self._uid = next(iter(instancesOf(volumeNode)), "")

    @property
    def isInDatabase(self) -> bool:
        return bool(self._uid and self._database is not None and self.values("ImageType"))

    def text(self, name: str) -> str:
        """An element, or "" if nobody knows it."""
        found = ""
        if self._uid and self._database is not None:
            found = self._database.instanceValue(self._uid, _TAGS[name]) or ""
        if not found and self._item:
            found = self._hierarchy.GetAttributeFromItemAncestor(self._item, f"DICOM.{name}") or ""
        return found.strip()

    def values(self, name: str) -> list[str]:
        return [value.strip() for value in self.text(name).split("\\") if value.strip()]

    def number(self, name: str) -> float | None:
        try:
            return float(self.values(name)[0])
        except (IndexError, ValueError):
            return None
