"""Which series of a DICOM study is which sequence, and which is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from engine.dicom_writing import write_dicom
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.series import choose_series
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.series import Facts, kind_of, kinds_of

GLIOMA = (Channel("FLAIR"), Channel("T1"), Channel("T1ce"), Channel("T2"))
STROKE = (Channel("DWI"), Channel("ADC"))


def acquired(words="", echo=None, repetition=None, inversion=None, **more) -> Facts:
    return Facts(words, echo_ms=echo, repetition_ms=repetition, inversion_ms=inversion, **more)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (acquired("t2_tirm_tra_dark-fluid", 86, 9000, 2500), "FLAIR"),  # Siemens
        (acquired("Sag CUBE T2 FLAIR", 119, 6300, 1820), "FLAIR"),  # GE
        (acquired("FLAIR_longTR", 125, 11000), "FLAIR"),  # Philips, no inversion time
        (acquired("series without a name", 100, 4500), "T2"),
        (acquired("Ax FSE", 102, 4000), "T2"),
        (acquired("t1_se_tra", 12, 550), "T1"),
        (acquired("t1_mprage_sag_p2_iso", 2.3, 1900, 900, gradient_echo=True), "T1"),
        (acquired("t1_mprage_sag_p2_iso", 2.3, 1900, 900, agent="Gadovist"), "T1ce"),
        (acquired("T1 native", 12, 550, agent="Gadovist"), "T1"),
        (acquired("AX T1 POST", 12, 550), "T1ce"),
        (acquired("AX T1+C", 12, 550), "T1ce"),
        (acquired("T1_FLAIR", 10, 2200, 860), "T1"),
        (acquired("FLAIR"), "FLAIR"),
        (acquired("PD", 15, 3000), "other"),
        (acquired("PD/T2 double echo", 20, 4500), "other"),
        (acquired("PD/T2 double echo", 95, 4500), "T2"),
        (acquired("T1 TSE", 10, 2600), "T1"),
        (acquired("t2_fl2d_tra_hemo", 20, 600, gradient_echo=True), "other"),
        (acquired("Ax SWAN", 25, 40, gradient_echo=True), "other"),
        (acquired("TOF_3D", 3.5, 22, gradient_echo=True), "other"),
        (acquired("localizer", 5, 8), "other"),
        (acquired("MIP", 2, 1900, 900), "other"),
        (acquired("x", 90, 5000, image_type=frozenset({"DERIVED", "LOCALIZER"})), "other"),
        (acquired("ep2d_diff_TRACEW", 90, 5000, b_value=1000.0), "DWI"),
        (acquired("DWI", 90, 5000, b_value=0.0), "other"),
        (acquired("x *ep_b1000t", 90, 5000), "DWI"),
        (acquired("Apparent Diffusion Coefficient", 90, 5000), "ADC"),
        (acquired("dADC", 90, 5000, image_type=frozenset({"DERIVED", "ADC"})), "ADC"),
        (acquired("ep2d_perf", 30, 1500), "other"),
        (acquired("x", 2, 1900, 900, image_type=frozenset({"ORIGINAL", "P"})), "other"),
        (acquired(""), "other"),
        (acquired("t1_mp2rage_sag_INV1", 2.9, 5000, 700, gradient_echo=True), "other"),
        (acquired("t1_mp2rage_sag_UNI-DEN", 2.9, 5000, 700, gradient_echo=True), "T1"),
        (acquired("x", 2.9, 5000, 700, image_type=frozenset({"DERIVED", "T1 MAP"})), "other"),
        (acquired("t1_vibe_dixon_tra_F", 2.4, 6, gradient_echo=True), "other"),
        (acquired("t1_vibe_dixon_tra_opp", 1.2, 6, gradient_echo=True), "other"),
        (acquired("t1_vibe_dixon_tra_W", 2.4, 6, gradient_echo=True), "T1"),
        (acquired("T1W_mDIXON", 4.6, 500, image_type=frozenset({"DERIVED", "F"})), "other"),
        (acquired("T1W_IR", 15, 2000, 400, image_type=frozenset({"R_IR", "R"})), "other"),
        (acquired("Cor STIR", 60, 4000, 160), "other"),
        (acquired("x", 75, 4000, 160), "other"),
        (acquired("3D DIR", 300, 5500, 2550), "other"),
        (acquired("DWI 3 dir", 80, 6000, b_value=1000.0), "DWI"),
        (acquired("Ax T2* GRE", 20, 600, gradient_echo=True), "other"),
        (acquired("Ax T2 *tse2d1_17", 96, 6000), "T2"),
        (acquired("SWIp", 12, 31, gradient_echo=True), "other"),
        (acquired("mIP_Images(SW)", 20, 28, gradient_echo=True), "other"),
        (acquired("s3DI_MC_HR", 3.5, 23, gradient_echo=True), "other"),
        (acquired("t2_ci3d_tra_iso", 4, 8, gradient_echo=True), "other"),
        (acquired("Calibration Scan", 1.5, 150, gradient_echo=True), "other"),
        (acquired("gre_field_mapping", 7, 500, gradient_echo=True), "other"),
        (acquired("Lokalizer", 5, 10, gradient_echo=True), "other"),
        (acquired("T2加权 横断"), "T2"),
        (acquired("T1加权 增强", 12, 550), "T1ce"),
        (acquired("T1 平扫", 12, 550, agent="Gadovist"), "T1"),
        (acquired("T2压水"), "FLAIR"),
        (acquired("弥散 b1000", 90, 5000), "DWI"),
        (acquired("表观扩散系数", 90, 5000), "ADC"),
        (acquired("定位像", 5, 8), "other"),
        (acquired("Ｔ１強調 造影後", 12, 550), "T1ce"),
        (acquired("Ｔ１強調 造影前", 12, 550), "T1"),
        (acquired("T1 조영", 12, 550), "T1ce"),
        (acquired("Т2 ВИ аксиальная"), "T2"),
        (acquired("Т1 с контрастом"), "T1ce"),
        (acquired("Т1 без контраста", 12, 550, agent="Гадовист"), "T1"),
        (acquired("T1 injecté", 12, 550), "T1ce"),
        (acquired("T1 sans injection", 12, 550, agent="Dotarem"), "T1"),
        (acquired("T1 con contraste"), "T1ce"),
        (acquired("T1 senza mdc"), "T1"),
        (acquired("Schädel T1 nach KM"), "T1ce"),
    ],
    ids=lambda value: value.words if isinstance(value, Facts) else value,
)
def test_a_series_is_classified_by_its_times_then_by_its_name(facts, kind):
    assert kind_of(facts).name == kind


def volume(slices: int, thickness: float, seed: int = 0) -> Scan:
    array = np.random.default_rng(seed).integers(1, 900, (12, 10, slices), dtype=np.int16)
    return Scan.of(array, np.diag([-1.0, -1.0, thickness, 1.0]), "scan")


def write(
    folder: Path, number: int, words: str, scan: Scan, uid: str | None = None, **tags: object
) -> str:
    """A series with some elements in every image."""

    def change(data) -> None:
        for keyword, value in tags.items():
            setattr(data, keyword, value)
        data.SeriesDescription = words  # in the character set that may be among the tags

    return write_dicom(
        folder / str(number), scan, uid=uid, description="", number=number, change=change
    )


@pytest.fixture
def study(tmp_path) -> Path:
    folder = tmp_path / "study"
    write(folder, 1, "localizer", volume(12, 5.0))
    write(folder, 2, "t2_tirm_tra_dark-fluid", volume(12, 5.0), EchoTime=86, InversionTime=2500)
    write(folder, 3, "t1_se_tra", volume(12, 5.0), EchoTime=12, RepetitionTime=500)
    write(folder, 4, "t2_tse", volume(12, 5.0), EchoTime=100, RepetitionTime=5000)
    return folder


def reasons(choice) -> dict[str, str]:
    return {entry.title: entry.reason for entry in choice.entries}


def test_every_channel_gets_its_series_and_every_series_a_reason(study):
    uid = write(
        study,
        5,
        "t1_mprage_km",
        volume(40, 1.0),
        EchoTime=3,
        RepetitionTime=1900,
        InversionTime=900,
    )
    choice = choose_series(study, GLIOMA)
    assert list(choice.chosen) == ["FLAIR", "T1", "T1ce", "T2"]
    assert choice.chosen["T1ce"] == uid
    said = reasons(choice)
    assert said["1 localizer"] == "not used: a localiser"
    assert "TE 86" in said["2 t2_tirm_tra_dark-fluid"]
    assert "with contrast agent" in said["5 t1_mprage_km"] and "3D" in said["5 t1_mprage_km"]


def test_of_several_series_the_finest_original_is_used_and_of_equals_the_last(study):
    repeated = write(study, 6, "t2_tse again", volume(12, 5.0), EchoTime=100, RepetitionTime=5000)
    assert choose_series(study, GLIOMA).chosen["T2"] == repeated
    fine = write(study, 7, "t2_space", volume(30, 1.0), EchoTime=400, RepetitionTime=3000)
    write(
        study,
        8,
        "t2_space tra",
        volume(60, 0.5),
        EchoTime=400,
        RepetitionTime=3000,
        ImageType=["DERIVED", "SECONDARY", "MPR"],
    )
    choice = choose_series(study, GLIOMA)
    assert choice.chosen["T2"] == fine
    said = reasons(choice)
    assert said["4 t2_tse"].endswith("7 t2_space is finer")
    assert said["8 t2_space tra"] == "not used: computed from other images"


def test_a_series_that_is_no_volume_is_left_out_with_its_reason(study):
    write(study, 9, "t1 km", volume(4, 5.0), EchoTime=12, RepetitionTime=500)
    choice = choose_series(study, GLIOMA)
    assert "T1ce" not in choice.chosen
    assert reasons(choice)["9 t1 km"] == "not used: only 4 images"


def test_an_agent_that_all_series_name_counts_from_the_first_whose_name_says_so(tmp_path):
    times = {"EchoTime": 9, "RepetitionTime": 500, "ContrastBolusAgent": "Gadovist"}
    plain = write(tmp_path, 2, "t1_se_tra", volume(12, 5.0), **times)
    assert list(choose_series(tmp_path, GLIOMA).chosen) == ["T1ce"]
    enhanced = write(tmp_path, 4, "t1_se_tra_KM", volume(12, 5.0), **times)
    later = write(tmp_path, 5, "t1_se_cor", volume(12, 4.0), **times)
    choice = choose_series(tmp_path, GLIOMA)
    assert choice.chosen == {"T1": plain, "T1ce": later} and enhanced not in choice.chosen.values()
    assert "as in all, though only a later name says so" in reasons(choice)["2 t1_se_tra"]


def t1(words: str, number: int, agent: str = "") -> Facts:
    return acquired(words, 9, 500, agent=agent, number=float(number))


@pytest.mark.parametrize(
    ("between", "agent", "expected"),
    [
        ("t2_tse", "Gadovist", ["T1", "T1ce"]),
        ("ep2d_perf", "Gadovist", ["T1", "T1ce"]),
        ("ep2d_perf", "", ["T1", "T1ce"]),
        ("t2_tse", "", ["T1", "T1"]),
        (None, "Gadovist", ["T1ce", "T1ce"]),
    ],
)
def test_a_repeated_t1_is_told_by_what_was_scanned_between(between, agent, expected):
    study = [t1("t1_se", 9, agent), t1("t1_se", 2, agent)]  # in no order
    if between is not None:
        study.append(Facts(between, number=5.0))
    last, first = kinds_of(study)[:2]
    assert [first.name, last.name] == expected


def test_of_thick_slices_axial_ones_are_taken_and_of_two_copies_the_corrected_one(tmp_path):
    times = {"EchoTime": 12, "RepetitionTime": 500}
    both = {"corrected": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"], "raw": ["ORIGINAL", "ND"]}
    for number, kind in enumerate(both, start=2):
        write(tmp_path, number, "t1_se_tra_km", volume(12, 5.0), ImageType=both[kind], **times)
    across = np.array([[-1.0, 0, 0, 0], [0, 0, 4.5, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])
    coronal = Scan.of(volume(12, 5.0).array, across, "scan")
    write(tmp_path, 4, "t1_se_cor_km", coronal, **times)
    said = reasons(choose_series(tmp_path, GLIOMA))
    assert said["2 t1_se_tra_km"].startswith("used as T1ce")
    assert said["3 t1_se_tra_km"].endswith("is the same, corrected by the scanner")
    assert said["4 t1_se_cor_km"].endswith("2 t1_se_tra_km is axial")


def test_a_missing_sequence_is_left_out(study):
    assert list(choose_series(study, GLIOMA).chosen) == ["FLAIR", "T1", "T2"]


def test_diffusion_and_its_map_are_told_apart(tmp_path):
    trace = write(tmp_path, 1, "ep2d_diff_TRACEW", volume(12, 4.0), DiffusionBValue=1000.0)
    map_ = write(tmp_path, 2, "ep2d_diff_ADC", volume(12, 4.0), ImageType=["DERIVED", "ADC"])
    write(tmp_path, 3, "ep2d_diff_b0", volume(12, 4.0), DiffusionBValue=0.0)
    assert choose_series(tmp_path, STROKE).chosen == {"DWI": trace, "ADC": map_}


def test_two_patients_in_one_folder_are_refused(study):
    write(study, 9, "FLAIR", volume(12, 5.0), PatientID="2")
    with pytest.raises(BadInputError, match=r"holds scans of 2 patients \(.* in .*\); give"):
        choose_series(study, GLIOMA)


def test_two_studies_in_one_folder_are_refused_with_their_dates(study):
    write(study, 9, "FLAIR", volume(12, 5.0), StudyInstanceUID="1.9", StudyDate="20240102")
    with pytest.raises(BadInputError, match=r"2 studies \(20240102\)"):
        choose_series(study, GLIOMA)


def test_a_study_with_nothing_usable_says_what_it_holds(tmp_path):
    write(tmp_path, 1, "Schädel nativ", volume(12, 5.0), Modality="CT")
    said = "no series for FLAIR, T1, T1ce and T2, which .*, but 1 Schädel nativ: it is CT, no MR. "
    with pytest.raises(BadInputError, match=said):
        choose_series(tmp_path, GLIOMA)


def test_a_part_of_a_series_is_chosen_by_what_it_shows(tmp_path):
    uid = generate_uid()
    for b_value in (0.0, 1000.0):
        folder = tmp_path / f"{b_value}"
        write(folder, 1, "ep2d_diff", volume(12, 4.0), uid=uid, DiffusionBValue=b_value)
    for kind in "MP":
        tags = {"EchoTime": 100, "ImageType": ["ORIGINAL", "PRIMARY", kind]}
        write(tmp_path / kind, 2, "t2_tse", volume(12, 4.0), uid=f"{uid}.1", **tags)
    choice = choose_series(tmp_path, (Channel("DWI"), Channel("T2")))
    assert choice.chosen == {"DWI": f"{uid} (b = 1000)", "T2": f"{uid}.1 (M)"}
    said = reasons(choice)
    assert said["1 ep2d_diff (b = 0)"] == ("not used: its diffusion weighting is too weak (b = 0)")
    assert said["2 t2_tse (P)"] == "not used: an image of phases"


ALPHABETS = {
    "GB18030": "T2压水 横断",
    "ISO 2022 IR 87": "T2 FLAIR 水抑制",
    "ISO 2022 IR 149": "FLAIR 축상면",
    "ISO_IR 144": "Т2 FLAIR аксиальная",
    "ISO_IR 100": "Schädel FLAIR größer",
    "ISO_IR 192": "FLAIR Ünïcödé 脳",
}


@pytest.mark.parametrize("character_set", ALPHABETS)
def test_names_in_any_alphabet_are_read(tmp_path, character_set):
    words = ALPHABETS[character_set]
    sets = ["", character_set] if "2022" in character_set else character_set
    write(tmp_path, 1, words, volume(12, 5.0), SpecificCharacterSet=sets)
    choice = choose_series(tmp_path, GLIOMA)
    assert list(choice.chosen) == ["FLAIR"]
    assert list(reasons(choice)) == [f"1 {words}"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("FLAIR Schädel".encode(), "FLAIR Schädel"),
        ("FLAIR Schädel".encode("latin-1"), "FLAIR Schädel"),
        ("FLAIR 横断".encode("gb18030"), "FLAIR …"),
        ("FLAIR\t横断".encode(), "FLAIR 横断"),
    ],
)
def test_letters_of_no_declared_alphabet_are_told_or_left_out(tmp_path, stored, shown):
    write(tmp_path, 1, "FLAIR " + (len(stored) - 6) * "x", volume(12, 5.0))
    for path in (tmp_path / "1").iterdir():
        whole = path.read_bytes()
        name = b"FLAIR " + (len(stored) - 6) * b"x"
        assert name in whole
        path.write_bytes(whole.replace(name, stored))
    assert list(reasons(choose_series(tmp_path, GLIOMA))) == [f"1 {shown}"]
