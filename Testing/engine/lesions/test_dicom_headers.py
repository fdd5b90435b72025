"""What DICOM results repeat of the headers of their series: letters, and whose scanner it was."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pydicom
import pytest

from engine.dicom_writing import FRAME
from engine.images.files.samples import LABELS
from engine.lesions.test_dicom import MODEL, lesions_in
from engine.lesions.test_parametric_map import map_on, volume
from factorizer_engine.images.files.dicom.parametric_map import write_parametric_maps
from factorizer_engine.images.files.dicom.source import read_source
from factorizer_engine.images.files.dicom.texts import text_of
from factorizer_engine.lesions.dicom import write_dicom_objects
from factorizer_engine.protocol.errors import BadInputError

# As the examples of the standard (PS3.5, annexes H and K) have them
CHINESE = b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"
JAPANESE = "Yamada^Tarou=山田^太郎".encode("iso2022_jp")


@pytest.fixture
def objects(straight_scan, write_dicom, tmp_path):
    """Writes all kinds of results beside a series whose headers are changed; gives them read."""

    def write(change, labels=LABELS):
        def complete(data) -> None:
            data.FrameOfReferenceUID, data.StudyInstanceUID = FRAME, "1.2.3.4"
            change(data)

        folder = tmp_path / "series"
        write_dicom(folder, straight_scan, change=complete)
        source = read_source(folder)
        paths = write_dicom_objects(lesions_in(straight_scan), labels, source, MODEL, tmp_path)
        maps = write_parametric_maps([volume(map_on(straight_scan))], labels, source, tmp_path)
        return [pydicom.dcmread(path) for path in (*paths, *maps)]

    return write


@pytest.mark.parametrize(
    ("declared", "written", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (["", "ISO 2022 IR 58"], CHINESE, "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], JAPANESE, "Yamada^Tarou=山田^太郎"),
        ("GB18030", "Wang=王^小东".encode("gb18030"), "Wang=王^小东"),
        ("ISO_IR 192", "Wang=王^小东".encode(), "Wang=王^小东"),
        (None, "Müller^王".encode(), "Müller^王"),
        (None, "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    ],
)
def test_names_in_any_alphabet_are_kept_beside_labels_in_any_other(
    objects, declared, written, name
):
    def change(data) -> None:
        if declared is not None:
            data.SpecificCharacterSet = declared
        data.add_new("PatientName", "PN", written)

    labels = [replace(label, name=f"{label.name} Ödem 水肿") for label in LABELS]
    segmentation, report, parametric_map = objects(change, labels)
    for data in (segmentation, report, parametric_map):
        assert data.SpecificCharacterSet == "ISO_IR 192"
        assert str(data.PatientName) == name
    assert segmentation.SegmentSequence[0].SegmentLabel == labels[1].name


def test_what_announces_chinese_letters_is_no_part_of_a_series_name():
    value = pydicom.charset.decode_bytes(
        b"\x1b$)A\xcd\xf5 FLAIR", pydicom.charset.convert_encodings(["", "ISO 2022 IR 58"]), set()
    )
    assert text_of(value) == "王 FLAIR"


def test_descriptions_are_as_short_as_dicom_wants_them(objects):
    for data in objects(lambda data: setattr(data, "SeriesDescription", "x" * 64)):
        assert len(data.SeriesDescription) == 64


def test_all_results_name_the_scanner_that_acquired_the_images(objects):
    for data in objects(lambda data: setattr(data, "Manufacturer", "ACME")):
        assert data.Manufacturer == "FactorizerExtension"
        equipment = {
            item.PurposeOfReferenceCodeSequence[0].CodeValue: item.Manufacturer
            for item in data.ContributingEquipmentSequence
        }
        assert equipment["109101"] == "ACME", "acquisition equipment"


def test_no_warning_names_the_patient(objects):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objects(lambda data: setattr(data, "PatientName", "Muellerin"))
    assert not [str(item.message) for item in caught if "Muellerin" in str(item.message)]


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_no_error_quotes_what_a_header_says(objects):
    def damage(data) -> None:
        data.add_new("PatientSex", "CS", "Muellerin")

    with pytest.raises(BadInputError, match="The PatientSex of the DICOM series FLAIR") as refused:
        objects(damage)
    assert "Muellerin" not in f"{refused.value} {refused.value.details}"
    assert refused.value.__suppress_context__, "nor does what it came from"


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("keyword", ["StudyTime", "StudyDate", "PatientBirthDate"])
def test_what_cannot_be_repeated_is_named(objects, keyword):
    def damage(data) -> None:
        data.add_new(keyword, "TM" if keyword == "StudyTime" else "DA", "10:11:12")

    with pytest.raises(BadInputError, match=f"The {keyword} of the DICOM series FLAIR"):
        objects(damage)


def test_a_study_without_any_of_its_names_and_dates_gets_results(objects):
    def strip(data) -> None:
        for keyword in ("PatientName", "PatientID"):
            delattr(data, keyword)
        data.PatientBirthDate = data.StudyDate = data.StudyTime = data.AccessionNumber = ""

    for data in objects(strip):
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyID"):
            assert keyword in data and not data.get(keyword)
        assert data.StudyInstanceUID == "1.2.3.4"
