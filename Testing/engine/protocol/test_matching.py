"""Which file is which channel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.matching import channel_candidates, guess_channel, match_channels
from factorizer_engine.protocol.models import Channel

GLIOMA = (
    Channel("FLAIR", ("t2f", "t2_flair")),
    Channel("T1", ("t1n", "t1w")),
    Channel("T1ce", ("t1gd", "t1c", "t1_post")),
    Channel("T2", ("t2w",)),
)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("flair.nii.gz", "FLAIR"),
        ("3D_FLAIR_SPACE", "FLAIR"),
        ("AX T2 FLAIR FS", "FLAIR"),
        ("AxialFlair_2", "FLAIR"),
        ("BraTS-GLI-00001-000-t2f.nii.gz", "FLAIR"),
        ("T1", "T1"),
        ("sub-01_T1w.nii.gz", "T1"),
        ("T1 pre contrast", "T1"),
        ("T1_noncontrast", "T1"),
        ("postop_T1", "T1"),
        ("BraTS-GLI-00001-000-t1n.nii.gz", "T1"),
        ("T1CE", "T1ce"),
        ("t1c", "T1ce"),
        ("T1_Gd", "T1ce"),
        ("T1Gd.nrrd", "T1ce"),
        ("AX T1 POST", "T1ce"),
        ("Ax T1 SE+C", "T1ce"),
        ("t1_mprage_sag_post.mha", "T1ce"),
        ("sub-01_ce-gadolinium_T1w.nii.gz", "T1ce"),
        ("patient01_study1_T1WKS.nii.gz", "T1ce"),
        ("t2_tse_tra", "T2"),
        ("T2W", "T2"),
        ("study/T2/image.nii.gz", "T2"),
        ("T2/flair.nii.gz", "FLAIR"),
        ("5: AX T1/POST", "T1ce"),
        ("T1 w/o contrast", "T1"),
        ("T1 c-", "T1"),
        ("T1 (C-)", "T1"),
        ("T1 gd-", "T1"),
        ("T1 contrast-free", "T1"),
        ("T1 KM-frei", "T1"),
        ("T1 before contrast", "T1"),
        ("T1 post fossa", "T1"),
        ("T1 post minus pre", None),
        ("T2 fl2d hemo", None),
        ("T2 relaxometry", None),
        ("T2-FLAIR mismatch", None),
        ("T1 w o contrast", "T1"),
        ("T1 wo Gd", "T1"),
        ("T1 w/ contrast", "T1ce"),
        ("T1-C", "T1"),
        ("Ax T1 -C", "T1"),
        ("Ax T1 +C", "T1ce"),
        ("T1 post-op pre contrast", "T1"),
        ("T1 post op", "T1"),
        ("T1 post-op post contrast", "T1ce"),
        ("post treatment T1 Gd", "T1ce"),
        ("T1 zonder contrast", "T1"),
        ("T1 vor KM", "T1"),
        ("T1_vorKM", "T1"),
        ("T1 avant injection", "T1"),
        ("T1 prima del mdc", "T1"),
        ("T1 до контраста", "T1"),
        ("sub-01_ce-none_T1w.nii.gz", "T1"),
        ("OSag T1 FLAIR", "T1"),
        ("T1 nach KM", "T1ce"),
        ("T1 après injection", "T1ce"),
        ("T1 FLAIR +C", "T1ce"),
        ("T1 Dotarem", "T1ce"),
        ("T1 MultiHance", "T1ce"),
        ("T1 post and Gd", "T1ce"),
        ("pre-/post-op T1 Gd", "T1ce"),
        ("T1 with and without contrast", None),
        ("T1 pre+post", None),
        ("T1 vor + nach KM", None),
        ("MIP T1 post", None),
        ("T2 loc", None),
        ("FLAIR*", None),
        ("T2-weighted Fluid-Attenuated Inversion Recovery", "FLAIR"),
        ("FLAIR_lesionmask.nii", None),
        ("T1_autoseg.nii", None),
        ("T1_SUB", None),
        ("T1 post subtraction", None),
        ("sub-01_T1w", "T1"),
        ("sub_01_T1", "T1"),
        ("sub-abc/anat/sub-abc_FLAIR.nii.gz", "FLAIR"),
        ("T2_SWI", None),
        ("SWI", None),
        ("T2*", None),
        ("T2* GRE", None),
        ("T2 star", None),
        ("T2 map", None),
        ("T1map.nii", None),
        ("DWI_T2", None),
        ("T2_b0", None),
        ("ADC_T2", None),
        ("T1_and_T2_average", None),
        ("t2star", None),
        ("brain", None),
        ("case_flair_seg.nii.gz", None),
    ],
)
def test_a_name_is_read_as_the_sequence_that_it_speaks_of(name, channel):
    assert guess_channel(name, GLIOMA) == channel


def test_a_study_is_matched_whatever_the_order_of_its_files():
    files = [Path(f"case/BraTS19_{end}.nii.gz") for end in ("t2", "t1ce", "seg", "flair", "t1")]
    matched = match_channels(files, GLIOMA)
    assert list(matched) == ["FLAIR", "T1", "T1ce", "T2"]
    assert [path.name.split("_")[1] for path in matched.values()] == [
        "flair.nii.gz",
        "t1.nii.gz",
        "t1ce.nii.gz",
        "t2.nii.gz",
    ]


def test_nnunet_suffixes_count_in_network_order():
    files = [f"case_7_000{index}.nii.gz" for index in (2, 0, 3, 1)]
    matched = match_channels(files, GLIOMA)
    assert matched["FLAIR"] == "case_7_0000.nii.gz"
    assert matched["T1ce"] == "case_7_0002.nii.gz"


def test_nnunet_suffixes_of_two_cases_are_not_mixed():
    files = ["a_0000.nii.gz", "a_0001.nii.gz", "b_0002.nii.gz", "b_0003.nii.gz"]
    with pytest.raises(BadInputError):
        match_channels(files, GLIOMA)


def test_ambiguous_names_are_refused_with_the_candidates():
    files = ["old_flair.nii.gz", "new_flair.nii.gz", "t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz"]
    with pytest.raises(BadInputError, match="FLAIR could be old_flair.nii.gz or new_flair.nii.gz"):
        match_channels(files, GLIOMA)
    candidates = channel_candidates(files, GLIOMA)
    assert candidates["FLAIR"] == ("old_flair.nii.gz", "new_flair.nii.gz")
    assert candidates["T2"] == ("t2.nii.gz",)


def test_a_missing_channel_is_named_with_what_was_left_over():
    with pytest.raises(BadInputError, match="nothing among mystery.nii looks like T1ce"):
        match_channels(["flair.nii", "t1.nii", "mystery.nii", "t2.nii"], GLIOMA)


def test_a_message_about_many_files_stays_short():
    with pytest.raises(BadInputError, match="and 494 more looks like FLAIR or T1") as caught:
        match_channels([f"IM{number:04d}" for number in range(500)], GLIOMA)
    assert len(str(caught.value)) < 200


def test_channels_of_other_models_match_by_their_own_names_and_aliases():
    channels = (Channel("DWI", ("b1000",)), Channel("ADC"), Channel("Perfusion", ("cbf map",)))
    files = ["x_adc.nii", "x_b1000.nii", "x_CBF_map.nii"]
    assert list(match_channels(files, channels).values()) == [files[1], files[0], files[2]]


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        (Channel("MR"), "hippocampus_001.nii.gz"),
        (Channel("MR"), "T1w.nii.gz"),
        (Channel("FLAIR"), "scan.nii.gz"),
        (Channel("FLAIR"), "T2_FLAIR.nii.gz"),
        (Channel("DWI"), "patient 3/series 12"),
    ],
)
def test_one_scan_for_one_channel_needs_no_name(channel, name):
    assert match_channels([name], (channel,)) == {channel.name: name}


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        (Channel("MR"), "hippocampus_seg.nii.gz"),
        (Channel("FLAIR"), "T1w.nii.gz"),
        (Channel("FLAIR"), "sub-01_t2_tse.nii.gz"),
    ],
)
def test_one_scan_for_one_channel_is_refused_as_a_result_or_another_sequence(channel, name):
    with pytest.raises(BadInputError, match=channel.name):
        match_channels([name], (channel,))


def test_the_last_scan_is_matched_by_elimination_only_where_its_name_allows_it():
    assert match_channels(["scan4.nii"], GLIOMA[3:]) == {"T2": "scan4.nii"}
    with pytest.raises(BadInputError, match="T2"):
        match_channels(["flair_2.nii"], GLIOMA[3:])


def test_matching_needs_only_the_standard_library():
    root = Path(sys.modules[match_channels.__module__].__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "import factorizer_engine.protocol.matching; "
        "sys.exit(bool({'numpy', 'torch', 'nibabel', 'SimpleITK'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["t1gd.nii", "flair.nii"], {"FLAIR": "flair.nii", "T1ce": "t1gd.nii"}),
        (["t2.nii", "t2_seg.nii", "info.json", "dwi.nii"], {"T2": "t2.nii"}),
        (["x_0000.nii", "x_0002.nii"], {"FLAIR": "x_0000.nii", "T1ce": "x_0002.nii"}),
        (["info.json"], {}),
    ],
)
def test_channels_may_be_left_out(files, found):
    assert match_channels(files, GLIOMA, optional=True) == found


def test_a_channel_is_not_left_out_where_an_unknown_scan_may_be_it():
    with pytest.raises(BadInputError, match="nothing among scan4.nii looks like T1 or T1ce or T2"):
        match_channels(["flair.nii", "scan4.nii"], GLIOMA, optional=True)
    with pytest.raises(BadInputError, match="FLAIR could be flair.nii or old_flair.nii"):
        match_channels(["flair.nii", "old_flair.nii"], GLIOMA, optional=True)


@pytest.mark.parametrize(
    "files",
    [
        ["a_flair.nii", "a_t1.nii", "b_t1ce.nii", "b_t2.nii"],
        ["Brats18_X_AAM_1_flair.nii", "Brats18_X_AAM_1_t1.nii"]
        + ["Brats18_X_ABC_1_t1ce.nii", "Brats18_X_ABC_1_t2.nii"],
        ["case_7_flair", "case_7_t1", "case_7_t1ce", "case_8_t2"],
        ["sub-01_FLAIR", "sub-01_T1w", "sub-02_ce-gd_T1w", "sub-02_T2w"],
        ["sub-01_ses-1_FLAIR", "sub-01_ses-1_T1w", "sub-01_ses-2_ce-gd_T1w", "sub-01_ses-1_T2w"],
        ["FLAIR 2020-01-05", "T1 2020-01-05", "T1ce 2021-03-01", "T2 2020-01-05"],
        ["20200105_FLAIR", "20200105_T1", "20200106_T1ce", "20200105_T2"],
        ["patient1/FLAIR.nii", "patient1/T1.nii", "patient2/T1ce.nii", "patient1/T2.nii"],
    ],
)
def test_scans_of_two_patients_or_dates_are_not_mixed(files):
    with pytest.raises(BadInputError, match=r"different (patients|dates)"):
        match_channels(files, GLIOMA)


@pytest.mark.parametrize(
    "files",
    [
        ["3_ax_flair", "4_t1_mprage_sag", "12_t1_mprage_sag_gd", "7_ax_t2_tse"],
        ["sag_3d_flair", "ax_t1", "ax_t1ce", "brain_t2"],
        ["x_FLAIR_20200105101112_3", "x_T1_20200105111213_4", "x_T1ce_20200105_9", "x_T2"],
        ["FLAIR/im.nii", "T1/im.nii", "T1ce/im.nii", "T2/im.nii"],
        ["patient/FLAIR.nii", "patient/T1.nii", "patient/T1ce.nii", "patient/T2.nii"],
        ["visit/ax_flair.nii", "visit/sag_t1.nii", "visit/t1ce.nii", "visit/t2.nii"],
        ["sub-01_FLAIR", "sub-01_T1w", "sub-01_ce-gd_T1w", "sub-01_T2w"],
        ["BraTS-GLI-00001-000-t2f", "BraTS-GLI-00001-000-t1n"]
        + ["BraTS-GLI-00001-000-t1c", "BraTS-GLI-00001-000-t2w"],
        ["study_3_flair", "study_4_t1", "study_5_t1ce", "study_6_t2"],
        ["tirm_flair", "mprage_t1", "postcontrast t1ce", "Localizer2_t2"][:3] + ["tse_t2"],
    ],
)
def test_scans_of_one_study_are_matched_whatever_else_their_names_say(files):
    assert list(match_channels(files, GLIOMA).values()) == files


def test_descriptions_beside_scans_are_passed_over():
    scans = ["FLAIR.nii.gz", "T1.nii.gz", "T1ce.nii.gz", "T2.nii.gz"]
    beside = ["FLAIR.json", "T1.json", "T1.bval", "T2_to_FLAIR.txt", "notes.pdf"]
    assert list(match_channels([*beside, *scans], GLIOMA).values()) == scans
    only = match_channels(["scan_7.json", "scan_7.nii.gz"], (Channel("MR"),))
    assert only == {"MR": "scan_7.nii.gz"}


def test_two_scans_of_two_patients_are_told_by_their_numbers():
    channels = (Channel("DWI"), Channel("ADC"))
    with pytest.raises(BadInputError, match="different patients"):
        match_channels(["p0012x_dwi.nii", "p0013x_adc.nii"], channels)
    assert match_channels(["1_dwi.nii", "2_adc.nii"], channels)
