"""What Slicer's DICOM database and the subject hierarchy tell of a volume."""

from __future__ import annotations

import pytest
import slicer

from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.volumes import Origin, mark_of
from FactorizerSegmentationLib.scene.dicom import factsOf, originOf
from FactorizerSegmentationLib.scene.matching import (
    AGAINST,
    LIKELY,
    SURE,
    evidenceFor,
    matchVolumes,
)

CHANNELS = (Channel("FLAIR"), Channel("T1"), Channel("T1ce"), Channel("T2"))
NOTHING = {channel.name: None for channel in CHANNELS}

T1 = {"0008,0008": "ORIGINAL\\PRIMARY", "0018,0081": "4", "0018,0080": "500"}
FLAIR = T1 | {"0018,0081": "120", "0018,0080": "9000", "0018,0082": "2500"}


class Database:
    """Stands for ctkDICOMDatabase: elements by instance."""

    isOpen = True

    def __init__(self) -> None:
        self.instances: dict[str, dict[str, str]] = {}

    def instanceValue(self, uid: str, tag: str) -> str:
        return self.instances[uid].get(tag, "")


@pytest.fixture
def add_series(add_volume, monkeypatch):
    """Adds a volume that was loaded from DICOM: `add_series("9: Ax", {tag: value})`."""
    database = Database()
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)

    def add(name: str, values: dict[str, str]):
        node = add_volume(name)
        uid = f"1.2.{len(database.instances)}"
        database.instances[uid] = values
        node.SetAttribute("DICOM.instanceUIDs", f"{uid} {uid}.1")
        return node

    return add


def test_the_header_tells_which_sequence_a_volume_is(scene, add_series):
    nodes = {
        "FLAIR": add_series("3: Ax", FLAIR),
        "T1": add_series("4: Ax", T1),
        "T1ce": add_series("5: Ax", T1 | {"0018,0010": "Gadovist"}),
    }
    assert matchVolumes(scene, CHANNELS, NOTHING) == nodes
    found = evidenceFor(nodes["T1ce"], CHANNELS[2], CHANNELS)
    assert found.level == SURE
    assert "TE 4, TR 500 ms, agent Gadovist" in found.reason


def test_the_header_counts_more_than_the_name(scene, add_series, add_volume):
    misnamed = add_series("T2", FLAIR)
    named = add_volume("Ax T2")
    assert matchVolumes(scene, CHANNELS, NOTHING) == {"FLAIR": misnamed, "T2": named}
    against = evidenceFor(misnamed, CHANNELS[3], CHANNELS)
    assert against.level == AGAINST
    assert "FLAIR: TE 120" in against.reason
    assert evidenceFor(named, CHANNELS[3], CHANNELS).level == LIKELY


def test_of_several_volumes_of_a_kind_the_finest_original_is_taken(scene, add_series):
    thick = add_series("3: Ax", FLAIR)
    thick.SetSpacing(1, 1, 5)
    assert matchVolumes(scene, CHANNELS, NOTHING) == {"FLAIR": thick}
    fine = add_series("4: Sag", FLAIR)
    computed = add_series("5: MPR", FLAIR | {"0008,0008": "DERIVED\\SECONDARY\\MPR"})
    computed.SetSpacing(0.5, 0.5, 0.5)
    assert matchVolumes(scene, CHANNELS, NOTHING) == {"FLAIR": fine}
    repeated = add_series("6: Sag again", FLAIR)
    assert matchVolumes(scene, CHANNELS, NOTHING) == {"FLAIR": repeated}


def test_a_repeated_t1_is_told_by_its_study_as_on_the_command_line(scene, add_series):
    named = T1 | {"0018,0010": "Gadovist"}
    later = add_series("9: Ax", named | {"0020,0011": "9"})
    first = add_series("2: Ax", named | {"0020,0011": "2"})
    add_series("5: Ax", FLAIR | {"0020,0011": "5"})
    found = matchVolumes(scene, CHANNELS, NOTHING)
    assert (found["T1"], found["T1ce"]) == (first, later)
    evidence = evidenceFor(first, CHANNELS[1], CHANNELS)
    assert evidence.level == SURE and "scanned again later" in evidence.reason


def test_of_thick_slices_axial_ones_are_taken(scene, add_series):
    axial, coronal = add_series("3: Ax", FLAIR), add_series("4: Cor", FLAIR)
    for node in (axial, coronal):
        node.SetSpacing(1, 1, 5)
    coronal.SetIJKToRASDirections(-1, 0, 0, 0, 0, 1, 0, -1, 0)
    assert matchVolumes(scene, CHANNELS, NOTHING) == {"FLAIR": axial}


def test_a_volume_that_is_not_in_the_database_is_told_by_its_name(add_volume):
    node = add_volume("T1")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert factsOf(node) is None
    assert originOf(node) == Origin()


def test_a_closed_database_is_none(monkeypatch, add_series):
    node = add_series("3: Ax", FLAIR)
    assert factsOf(node) is not None
    monkeypatch.setattr(slicer.dicomDatabase, "isOpen", False)
    assert factsOf(node) is None


def test_origins_come_from_the_header_or_the_hierarchy(
    add_series, add_volume, hierarchy, put_under
):
    node = add_series("T1", T1 | {"0010,0020": "17", "0008,0020": "20200101", "0020,0052": "1.9"})
    assert originOf(node) == Origin(mark_of("17"), "20200101", "1.9")
    other = add_volume("T2")
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    hierarchy.SetItemAttribute(patient, "DICOM.PatientID", "18")
    put_under(other, patient)
    assert originOf(other) == Origin(mark_of("18"))


def test_what_is_moved_by_a_transform_has_no_frame_of_reference(scene, add_series):
    node = add_series("T1", T1 | {"0020,0052": "1.9"})
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "To FLAIR")
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert originOf(node) == Origin(transform="To FLAIR")
