"""Series that hold several volumes are taken apart, and only where that is right."""

from __future__ import annotations

import struct

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from engine.images.files.dicom_samples import multi_frame
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import list_series
from factorizer_engine.images.scan import Scan


def add_private(data: pydicom.Dataset, tag, creator, kind, value) -> None:
    block = data.private_block(tag >> 16, creator, create=True)
    block.add_new(tag & 0xFF, kind, value)


B_VALUES = {
    "standard": lambda b: lambda d: setattr(d, "DiffusionBValue", float(b)),
    "Siemens": lambda b: lambda d: add_private(d, 0x0019_100C, "SIEMENS MR HEADER", "IS", str(b)),
    "GE": lambda b: (
        lambda d: add_private(
            d, 0x0043_1039, "GEMS_PARM_01", "IS", [str(1_000_000_000 + b), "8", "0", "0"]
        )
    ),
    "Philips": lambda b: (
        lambda d: add_private(d, 0x2001_1003, "Philips Imaging DD 001", "FL", float(b))
    ),
    "Philips, kind left open": lambda b: (
        lambda d: add_private(d, 0x2001_1003, "Philips Imaging DD 001", "UN", struct.pack("<f", b))
    ),
    "Siemens, kind left open": lambda b: (
        lambda d: add_private(d, 0x0019_100C, "SIEMENS MR HEADER", "UN", f"{b:<4}".encode())
    ),
    "UIH": lambda b: lambda d: add_private(d, 0x0065_1009, "Image Private Header", "FD", float(b)),
}


@pytest.fixture
def write_parts(tmp_path, oblique_scan, write_dicom):
    """Writes volumes into one series, each changed by its own function; returns its UID."""

    def write(*changes, scans=None) -> str:
        uid = generate_uid()
        for number, change in enumerate(changes):
            scan = scans[number] if scans else volume(oblique_scan, number)
            write_dicom(tmp_path / str(number), scan, uid=uid, change=change)
        return uid

    return write


def volume(scan: Scan, number: int) -> Scan:
    return scan.with_array(scan.array + np.int16(number))


def setting(**elements):
    """A function that sets elements of a data set."""

    def change(data) -> None:
        for name, value in elements.items():
            setattr(data, name, value)

    return change


def parts_in(folder) -> dict[str, int]:
    return {series.part: series.count for series in list_series(folder)}


@pytest.mark.parametrize("maker", B_VALUES)
def test_weightings_of_a_diffusion_scan_are_volumes_of_their_own(
    tmp_path, oblique_scan, write_parts, maker
):
    uid = write_parts(B_VALUES[maker](0), B_VALUES[maker](1000))
    assert parts_in(tmp_path) == {"b = 0": 9, "b = 1000": 9}
    for number, part in enumerate(("b = 0", "b = 1000")):
        for name in (f"FLAIR ({part})", f"{uid} ({part})"):
            found = read_scan(tmp_path, series=name)
            np.testing.assert_array_equal(found.array, oblique_scan.array + number)
            np.testing.assert_allclose(found.affine, oblique_scan.affine, atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ({"EchoTime": 12}, {"EchoTime": 98.5}, {"TE 12 ms", "TE 98.5 ms"}),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
            {"M", "P"},
        ),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY"]},
            {"ImageType": ["DERIVED", "SECONDARY", "ADC"]},
            {"ORIGINAL PRIMARY", "DERIVED SECONDARY ADC"},
        ),
        (
            {"TemporalPositionIdentifier": 1},
            {"TemporalPositionIdentifier": 2},
            {"time point 1", "time point 2"},
        ),
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 7}, {"acquisition 1", "acquisition 7"}),
        (
            {"AcquisitionTime": "101500.25"},
            {"AcquisitionTime": "102000"},
            {"repeat 1", "repeat 2"},
        ),
    ],
)
def test_volumes_at_one_place_are_told_apart(
    tmp_path, oblique_scan, write_parts, first, second, names
):
    write_parts(setting(**first), setting(**second))
    assert set(parts_in(tmp_path)) == names
    read = [read_scan(f"{tmp_path}::FLAIR ({part})").array for part in parts_in(tmp_path)]
    assert sorted(array[0, 0, 0] for array in read) == sorted(
        oblique_scan.array[0, 0, 0] + number for number in (0, 1)
    )


def test_two_echoes_with_their_phases_are_four_volumes(tmp_path, write_parts):
    write_parts(
        *(
            setting(EchoTime=echo, ImageType=["ORIGINAL", "PRIMARY", kind])
            for echo in (5, 20)
            for kind in ("M", "P")
        )
    )
    assert set(parts_in(tmp_path)) == {
        f"{kind}, TE {echo} ms" for kind in ("M", "P") for echo in (5, 20)
    }


def test_three_planes_of_a_localiser_are_three_volumes(tmp_path, oblique_scan, write_parts):
    scans = []
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turned = np.eye(4)
        turned[:3, :3] = np.eye(3)[:, list(order)]
        scans.append(Scan.of(oblique_scan.array, turned @ np.diag([2.0, 2.0, 5.0, 1.0])))
    write_parts(*3 * [lambda data: None], scans=scans)
    assert parts_in(tmp_path) == {"axial": 9, "sagittal": 9, "coronal": 9}


def test_a_series_of_two_sizes_is_offered_in_two_parts(
    tmp_path, oblique_scan, write_parts, refused
):
    small = oblique_scan.with_array(oblique_scan.array[:8])
    write_parts(*2 * [lambda data: None], scans=[oblique_scan, small])
    message = refused(read_scan, tmp_path)
    assert "2 series" in message and "FLAIR (axial 10 x 12) (9 images)" in message
    assert read_scan(f"{tmp_path}::FLAIR (axial 8 x 12)").shape == small.shape


def test_a_repeat_that_was_broken_off_does_not_spoil_the_whole_scan(
    tmp_path, oblique_scan, write_dicom
):
    uid = generate_uid()
    for number, skip in enumerate((range(0), range(3, 9)), start=1):
        change = setting(AcquisitionNumber=number)
        write_dicom(tmp_path / str(number), oblique_scan, uid=uid, change=change, skip=skip)
    assert parts_in(tmp_path) == {"acquisition 1": 9, "acquisition 2": 3}
    found = read_scan(f"{tmp_path}::FLAIR (acquisition 1)")
    np.testing.assert_array_equal(found.array, oblique_scan.array)


def test_slices_of_one_volume_from_several_acquisitions_stay_together(
    tmp_path, oblique_scan, write_dicom
):
    def interleaved(data):
        data.AcquisitionNumber = 1 + data.InstanceNumber % 2
        data.AcquisitionTime = f"1015{data.InstanceNumber:02d}"
        data.EchoTime = 90 + data.InstanceNumber % 2

    write_dicom(tmp_path, oblique_scan, change=interleaved)
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_a_time_series_is_refused_as_one(tmp_path, write_parts, refused):
    write_parts(*(setting(TemporalPositionIdentifier=point) for point in range(1, 6)))
    assert parts_in(tmp_path) == {"": 45}
    assert "several images at one place (time points" in refused(read_scan, tmp_path)


def test_a_multi_frame_file_of_two_weightings_is_taken_apart(tmp_path, oblique_scan):
    save_frames(tmp_path, oblique_scan, "MRDiffusionSequence", "DiffusionBValue", (0.0, 1000.0))
    assert parts_in(tmp_path) == {"b = 0": 9, "b = 1000": 9}
    for part in parts_in(tmp_path):
        found = read_scan(f"{tmp_path}::T2 ({part})")
        np.testing.assert_array_equal(found.array, oblique_scan.array)


def test_a_multi_frame_file_of_two_echoes_is_taken_apart(tmp_path, oblique_scan):
    save_frames(tmp_path, oblique_scan, "MREchoSequence", "EffectiveEchoTime", (20.0, 80.0))
    assert parts_in(tmp_path) == {"TE 20 ms": 9, "TE 80 ms": 9}


def test_an_element_that_is_broken_does_not_matter_where_nothing_depends_on_it(
    tmp_path, oblique_scan, write_dicom
):
    write_dicom(tmp_path, oblique_scan, change=setting(AcquisitionNumber=77))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"IS\x02\x0077", b"IS\x02\x00x7"))
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def save_frames(folder, scan: Scan, sequence: str, keyword: str, values) -> None:
    """A multi-frame file with the scan once for each value of an element of its frames."""
    count = scan.shape[2]
    data = multi_frame(scan, [*range(count)] * len(values))
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        item = pydicom.Dataset()
        setattr(item, keyword, values[number // count])
        setattr(frame, sequence, [item])
    data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
