"""Folders of DICOM files after copies that broke off, were made twice, or are in parts."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless, generate_uid

from engine.images.files.dicom_samples import multi_frame
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import list_series

NAMES = {
    "with ending": lambda path, index: f"{index:03d}.dcm",
    "without ending": lambda path, index: f"IM{index:04d}",
    "by identifier": lambda path, index: str(pydicom.dcmread(path).SOPInstanceUID),
}


@pytest.fixture(params=NAMES)
def files(request, tmp_path, oblique_scan, write_dicom) -> list[Path]:
    """The files of a series in order of place, named in different ways."""
    write_dicom(tmp_path, oblique_scan)
    paths = sorted(tmp_path.iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
    return [
        path.rename(tmp_path / NAMES[request.param](path, index))
        for index, path in enumerate(paths)
    ]


def test_a_file_that_was_cut_anywhere_is_named(files, refused):
    whole = files[-1].read_bytes()
    places = [*range(0, 200, 7), 128, 131, 132, 133, *range(200, len(whole), 61), len(whole) - 1]
    for length in places:
        files[-1].write_bytes(whole[:length])
        assert files[-1].name in refused(read_scan, files[-1].parent), length


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_between_two_elements_is_named(
    tmp_path, oblique_scan, write_dicom, refused, compressed
):
    def pack(data):
        if compressed:
            data.compress(RLELossless, generate_instance_uid=False)

    write_dicom(tmp_path, oblique_scan, change=pack)
    last = sorted(tmp_path.iterdir())[-1]
    whole = last.read_bytes()
    elements = [element.tag for element in pydicom.dcmread(last) if element.tag.group >= 0x20]
    for tag in elements:
        begin = whole.index(struct.pack("<HH", tag.group, tag.element))
        last.write_bytes(whole[:begin])
        assert last.name in refused(read_scan, tmp_path), tag


def test_files_that_were_only_reserved_are_named(files, refused):
    files[-1].write_bytes(bytes(files[-1].stat().st_size))
    files[-2].write_bytes(bytes(10))
    assert "a copy that broke off" in refused(read_scan, files[-1].parent)


def test_a_cut_compressed_file_is_refused(tmp_path, oblique_scan, write_dicom, refused):
    def pack(data):
        data.compress(RLELossless, generate_instance_uid=False)

    write_dicom(tmp_path, oblique_scan, change=pack)
    last = sorted(tmp_path.iterdir())[-1]
    whole = last.read_bytes()
    for kept in (0.9, 0.7):
        last.write_bytes(whole[: int(len(whole) * kept)])
        assert last.name in refused(read_scan, tmp_path)


def test_other_files_do_not_matter(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    for name in ("notes.txt", "._001.dcm", ".DS_Store", "done", "preview.png"):
        (tmp_path / name).touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "empty.dcm").touch()
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_text_among_files_without_endings_does_not_matter(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_suffix(""))
    (tmp_path / "README").write_text("exported on Monday")
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_a_damaged_file_in_another_folder_of_the_study_does_not_matter(
    tmp_path, oblique_scan, write_dicom, refused
):
    write_dicom(tmp_path / "a", oblique_scan, description="FLAIR")
    write_dicom(tmp_path / "b", oblique_scan, description="T1")
    next((tmp_path / "b").iterdir()).write_bytes(b"")
    assert read_scan(tmp_path, "FLAIR").shape == oblique_scan.shape
    assert "is empty" in refused(read_scan, tmp_path, "T1")


def test_a_report_beside_the_images_does_not_matter(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    report = pydicom.Dataset()
    report.file_meta = pydicom.dataset.FileMetaDataset()
    report.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    report.SOPClassUID = pydicom.uid.BasicTextSRStorage
    report.SOPInstanceUID = generate_uid()
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_copies_of_files_are_read_once(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    paths = sorted(tmp_path.iterdir())
    shutil.copy(paths[3], tmp_path / "copy.dcm")
    shutil.copy(paths[3], tmp_path / "another.dcm")
    assert list_series(tmp_path)[0].count == oblique_scan.shape[2]
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_a_copied_folder_within_the_folder_is_read_once(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path / "a", oblique_scan)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_a_copy_of_a_multi_frame_file_is_read_once(tmp_path, oblique_scan):
    data = multi_frame(oblique_scan)
    for name in ("a.dcm", "b.dcm"):
        data.save_as(tmp_path / name, enforce_file_format=True)
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_one_copy_compressed_and_one_not_are_read_once(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    path = sorted(tmp_path.iterdir())[2]
    data = pydicom.dcmread(path)
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(tmp_path / "copy.dcm")
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_a_single_image_and_its_copy_are_no_series(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    write_dicom(tmp_path, oblique_scan, description="localiser", skip=range(1, 9))
    (single,) = [path for path in tmp_path.iterdir() if "localiser" in str(pydicom.dcmread(path))]
    shutil.copy(single, tmp_path / "copy.dcm")
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_two_images_under_one_identifier_are_refused(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path, oblique_scan)
    path = sorted(tmp_path.iterdir())[2]
    data = pydicom.dcmread(path)
    data.PixelData = data.PixelData[::-1]
    data.save_as(tmp_path / "copy.dcm")
    message = refused(read_scan, tmp_path)
    assert "one identifier" in message and "copy.dcm" in message and path.name in message


def test_one_identifier_for_all_images_does_not_matter(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan, change=lambda data: setattr(data, "SOPInstanceUID", "1.2"))
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_a_folder_in_which_no_image_is_left_is_told(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path / "a", oblique_scan, uid="1.2.3", skip=range(5, 9))
    write_dicom(tmp_path / "b", oblique_scan, uid="1.2.3", skip=range(5))
    assert read_scan(tmp_path).shape == oblique_scan.shape
    for path in (tmp_path / "b").iterdir():
        path.write_bytes(b"")
    assert "is empty" in refused(read_scan, tmp_path)
    assert read_scan(tmp_path / "a").shape[2] == 5


@pytest.mark.parametrize("copied", [1, 9])
def test_copies_under_other_identifiers_are_read_once(tmp_path, oblique_scan, write_dicom, copied):
    write_dicom(tmp_path, oblique_scan)
    for path in sorted(tmp_path.iterdir())[:copied]:
        save_again(path)
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_other_images_at_the_place_of_one_are_told(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path, oblique_scan)
    one, another, *_ = sorted(tmp_path.iterdir())
    save_again(one)
    save_again(another, PixelData=pydicom.dcmread(another).PixelData[::-1])
    assert "or copies" in refused(read_scan, tmp_path)


def save_again(path: Path, **changes) -> None:
    """Save an image once more under another identifier, as some archives do."""
    data = pydicom.dcmread(path)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    data.save_as(path.with_name(f"again_{path.name}"))


def test_a_volume_in_several_multi_frame_files_is_read_whole(tmp_path, oblique_scan):
    for name, data in parts(oblique_scan).items():
        data.save_as(tmp_path / name, enforce_file_format=True)
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-6)


@pytest.mark.parametrize("lacking", ["a.dcm", "b.dcm", "c.dcm"])
def test_a_missing_part_of_a_volume_in_several_files_is_told(
    tmp_path, oblique_scan, refused, lacking
):
    for name, data in parts(oblique_scan).items():
        if name != lacking:
            data.save_as(tmp_path / name, enforce_file_format=True)
    assert "2 of the 3 files" in refused(read_scan, tmp_path)


def test_a_missing_part_is_told_where_no_file_says_how_many_there_are(
    tmp_path, oblique_scan, refused
):
    for name, data in parts(oblique_scan).items():
        del data.InConcatenationTotalNumber
        data.save_as(tmp_path / name, enforce_file_format=True)
    (tmp_path / "b.dcm").unlink()  # the first
    assert "2 of the 3 files" in refused(read_scan, tmp_path)


def parts(scan) -> dict[str, pydicom.Dataset]:
    """The scan in three multi-frame files of different length, not in order."""
    uid, whole = generate_uid(), generate_uid()
    found = {}
    for number, (name, indices) in enumerate(
        {"b.dcm": (0, 1, 2, 3), "a.dcm": (5, 4), "c.dcm": (6, 7, 8)}.items(), start=1
    ):
        data = multi_frame(scan, indices)
        data.SeriesInstanceUID, data.ConcatenationUID = uid, whole
        data.InConcatenationNumber, data.InConcatenationTotalNumber = number, 3
        found[name] = data
    return found


@pytest.mark.parametrize(("name", "content"), [("9.dcm.part", bytes(100)), ("9.DCM.gz", b"")])
def test_a_file_whose_copy_is_under_way_or_packed_is_named(
    tmp_path, oblique_scan, write_dicom, refused, name, content
):
    write_dicom(tmp_path, oblique_scan)
    last = sorted(tmp_path.iterdir())[-1]
    (tmp_path / name).write_bytes(content or gzip.compress(last.read_bytes()))
    last.unlink()
    assert name in refused(read_scan, tmp_path)


def test_notes_beside_the_images_do_not_matter(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    (tmp_path / "9.dcm.json").write_text('{"of": "9.dcm"}')
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"of a disk that was copied in part")
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_the_rest_of_a_series_may_lie_in_a_folder_below(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    write_dicom(tmp_path / "other", oblique_scan.with_array(oblique_scan.array + 1))
    for number, path in enumerate(sorted(tmp_path.glob("*.dcm"))):
        below = tmp_path / ("more" if number % 2 else "copies")
        below.mkdir(exist_ok=True)
        shutil.copy(path, below)
        if number % 2:
            path.unlink()
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-4)
