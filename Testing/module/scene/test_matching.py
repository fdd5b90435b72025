from __future__ import annotations

from factorizer_engine.protocol.models import Channel
from FactorizerSegmentationLib.scene.matching import matchVolumes
from FactorizerSegmentationLib.scene.volumes import ROLE_ATTRIBUTE

CHANNELS = (
    Channel("FLAIR"),
    Channel("T1"),
    Channel("T1ce", ("t1gd", "t1post")),
    Channel("T2"),
)
NOTHING = {channel.name: None for channel in CHANNELS}


def test_volumes_are_told_by_their_names(scene, add_volume):
    nodes = {
        "FLAIR": add_volume("5: Ax T2 FLAIR"),
        "T1": add_volume("3: Ax T1"),
        "T1ce": add_volume("9: Ax T1 post Gd"),
        "T2": add_volume("4: Ax T2 TSE"),
    }
    add_volume("1: Localizer")

    assert matchVolumes(scene, CHANNELS, NOTHING) == nodes


def test_what_is_chosen_already_stays(scene, add_volume):
    mine = add_volume("My favourite FLAIR")
    add_volume("FLAIR")
    t1 = add_volume("T1")

    matches = matchVolumes(scene, CHANNELS, {**NOTHING, "FLAIR": mine})

    assert matches == {"T1": t1}


def test_nothing_is_guessed_between_two_volumes_of_one_study(scene, add_volume):
    add_volume("FLAIR a")
    add_volume("FLAIR b")

    assert matchVolumes(scene, CHANNELS, NOTHING) == {}


def test_baseline_and_follow_up_are_not_mixed(scene, add_volume, hierarchy, put_under):
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    studies = {}
    for name, sequences in (("Baseline", ("FLAIR", "T1")), ("Follow-up", ("FLAIR", "T1", "T2"))):
        study = hierarchy.CreateStudyItem(patient, name)
        studies[name] = [add_volume(sequence) for sequence in sequences]
        for node in studies[name]:
            put_under(node, study)

    matches = matchVolumes(scene, CHANNELS, NOTHING)

    assert list(matches.values()) == studies["Follow-up"]

    chosen = {**NOTHING, "FLAIR": studies["Baseline"][0]}
    assert matchVolumes(scene, CHANNELS, chosen) == {"T1": studies["Baseline"][1]}


def test_results_and_label_maps_are_not_offered_as_scans(scene, add_volume):
    add_volume("T2 heatmap").SetAttribute(ROLE_ATTRIBUTE, "Heatmap")
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "FLAIR")

    assert matchVolumes(scene, CHANNELS, NOTHING) == {}


def test_a_slash_in_a_name_is_no_folder(scene, add_volume):
    node = add_volume("Brain/T2")

    assert matchVolumes(scene, CHANNELS, NOTHING) == {"T2": node}
