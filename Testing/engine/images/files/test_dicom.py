"""Reading DICOM series, and refusing those that are no even stack of slices."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from engine.images.files.dicom_samples import multi_frame, plain_frames
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import list_series
from factorizer_engine.images.scan import Scan


def test_a_series_is_read_with_its_place_whatever_the_order_of_its_files(
    tmp_path, oblique_scan, write_dicom
):
    write_dicom(tmp_path, oblique_scan, description="AX FLAIR")
    scan = read_scan(tmp_path)
    assert scan.name == "AX FLAIR"
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-6)


@pytest.mark.parametrize("implicit", [False, True])
def test_files_without_the_prefix_are_read(tmp_path, oblique_scan, write_dicom, implicit):
    write_dicom(tmp_path, oblique_scan, description="AX FLAIR")
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        del data.file_meta, data.preamble
        path.unlink()
        bare = path.with_suffix("")
        data.save_as(bare, implicit_vr=implicit, little_endian=True)
        assert bare.read_bytes()[128:132] != b"DICM"
    scan = read_scan(tmp_path)
    assert scan.name == "AX FLAIR"
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-6)


def test_files_that_only_begin_like_dicom_are_passed_over(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    start = b"\x08\x00\x05\x00CS\x0a\x00"
    (tmp_path / "notes.txt").write_bytes(start + bytes(500))
    (tmp_path / "more.txt").write_bytes(start + b"ISO_IR 100" + 40 * b"\xff\xfe\x01")
    np.testing.assert_array_equal(read_scan(tmp_path).array, oblique_scan.array)


def test_an_element_of_unknown_kind_is_a_damaged_file(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path, oblique_scan)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00C\xf0"))
    assert "damaged DICOM file" in refused(read_scan, tmp_path)


def test_geometry_agrees_with_itks_own_series_reader(tmp_path, oblique_scan, write_dicom):
    write_dicom(tmp_path, oblique_scan)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    scan = read_scan(tmp_path)
    for index in ((0, 0, 0), (9, 11, 8), (3, 0, 5)):
        here = (scan.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(
            here * [-1, -1, 1], image.TransformIndexToPhysicalPoint(index), atol=1e-4
        )
        assert scan.array[index] == image[index]


def test_rescale_slope_and_intercept_of_each_file_are_applied(tmp_path, oblique_scan, write_dicom):
    def rescale(data):
        data.RescaleSlope, data.RescaleIntercept = 0.5 * data.InstanceNumber, -10

    write_dicom(tmp_path, oblique_scan, change=rescale)
    slope = 0.5 * np.arange(1, oblique_scan.shape[2] + 1)
    np.testing.assert_allclose(read_scan(tmp_path).array, oblique_scan.array * slope - 10)


def test_slices_stored_from_top_to_bottom_come_in_order_of_place(
    tmp_path, oblique_scan, write_dicom
):
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = oblique_scan.shape[2] - 1
    flipped = Scan.of(oblique_scan.array[:, :, ::-1], oblique_scan.affine @ flip)
    write_dicom(tmp_path, flipped)
    scan = read_scan(tmp_path)
    value = scan.array[2, 5, 7]
    world = scan.affine @ [2, 5, 7, 1]
    index = np.round(np.linalg.inv(oblique_scan.affine) @ world).astype(int)[:3]
    assert oblique_scan.array[tuple(index)] == value


def test_several_series_are_listed_and_one_can_be_named(
    tmp_path, oblique_scan, write_dicom, refused
):
    write_dicom(tmp_path, oblique_scan, description="FLAIR", number=3)
    other = oblique_scan.with_array(oblique_scan.array[::-1])
    uid = write_dicom(tmp_path, other, description="T1 post", number=2)
    series = list_series(tmp_path)
    assert [(s.number, s.description, len(s.slices)) for s in series] == [
        ("2", "T1 post", 9),
        ("3", "FLAIR", 9),
    ]
    message = refused(read_scan, tmp_path)
    assert "2 series" in message and "T1 post" in message and "FLAIR" in message
    for name in (uid, "2", "T1 post"):
        np.testing.assert_array_equal(read_scan(tmp_path, series=name).array, other.array)
    assert "no series called DWI" in refused(read_scan, tmp_path, series="DWI")


def test_a_series_is_named_behind_its_folder(tmp_path, oblique_scan, write_dicom, refused):
    other = oblique_scan.with_array(oblique_scan.array[::-1])
    folder = tmp_path / "b::c"
    write_dicom(folder, oblique_scan, description="FLAIR", number=3)
    uid = write_dicom(folder, other, description="T1/T2::b=1000 post", number=2)
    for name in (uid, "2", "T1/T2::b=1000 post", "t1/t2::B=1000 POST"):
        np.testing.assert_array_equal(read_scan(f"{folder}::{name}").array, other.array)
    assert read_scan(folder / "::3").name == "FLAIR"
    assert "no series called DWI; it holds T1/T2" in refused(read_scan, f"{folder}::DWI")
    assert "no series called ;" in refused(read_scan, f"{folder}::")
    assert "does not exist" in refused(read_scan, tmp_path / "none::FLAIR")
    file = next(folder.iterdir())
    assert "is a file; give it without '::'" in refused(read_scan, f"{file}::3")


def test_a_choice_of_series_is_told_by_names_that_each_has_alone(
    tmp_path, oblique_scan, write_dicom, refused
):
    for array, description, number in (
        (oblique_scan.array, "T1", 3),
        (oblique_scan.array[::-1], "T1", 4),
        (oblique_scan.array[:, ::-1], "", 5),
        (oblique_scan.array[:, :, ::-1], "", 5),
    ):
        scan = oblique_scan.with_array(array)
        write_dicom(tmp_path, scan, description=description, number=number)
    message = refused(read_scan, tmp_path)
    names = [part.split(" (")[0] for part in message.split("(", 1)[1].split("), ")][:4]
    assert names[:2] == ["3", "4"]
    found = [read_scan(f"{tmp_path}::{name}").array for name in names]
    assert len({array.tobytes() for array in found}) == 4


def test_the_series_that_is_proposed_is_the_largest(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path, oblique_scan, number=9)
    write_dicom(tmp_path, oblique_scan, description="localiser", number=1, skip=range(3, 9))
    assert f"such as '{tmp_path.name}::FLAIR'" in refused(read_scan, tmp_path)


def without_uid(data, **fields) -> None:
    data.SeriesInstanceUID = ""
    for keyword, value in fields.items():
        setattr(data, keyword, value)


@pytest.mark.parametrize("fields", [{"SeriesDescription": "T1"}, {"SeriesNumber": 2}])
def test_series_without_identifiers_are_told_apart(tmp_path, oblique_scan, write_dicom, fields):
    write_dicom(tmp_path / "a", oblique_scan, change=without_uid)
    write_dicom(tmp_path / "b", oblique_scan, change=lambda data: without_uid(data, **fields))
    assert [series.count for series in list_series(tmp_path)] == [oblique_scan.shape[2]] * 2
    name = str(next(iter(fields.values())))
    np.testing.assert_array_equal(read_scan(tmp_path, name).array, oblique_scan.array)


def test_slices_of_two_patients_are_no_series(tmp_path, oblique_scan, write_dicom, refused):
    def change(data):
        data.PatientID = "A" if data.InstanceNumber < 4 else "B"

    write_dicom(tmp_path, oblique_scan, change=change)
    assert "(FLAIR (patient A) (3 images), FLAIR (patient B)" in refused(read_scan, tmp_path)
    assert read_scan(tmp_path, "FLAIR (patient A)").shape[2] == 3


def test_a_single_localiser_image_beside_the_series_does_not_matter(
    tmp_path, oblique_scan, write_dicom
):
    write_dicom(tmp_path, oblique_scan)
    write_dicom(tmp_path, oblique_scan, description="localiser", skip=range(1, 9))
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_series_in_folders_below_are_found_and_other_files_passed_over(
    tmp_path, oblique_scan, write_dicom
):
    write_dicom(tmp_path / "study" / "series", oblique_scan)
    (tmp_path / "notes.txt").write_text("not an image")
    assert read_scan(tmp_path).shape == oblique_scan.shape


def test_missing_slices_are_counted(tmp_path, oblique_scan, write_dicom, refused):
    write_dicom(tmp_path, oblique_scan, skip=(3, 4))
    assert "lacks 2 slices" in refused(read_scan, tmp_path)


def test_unequal_slice_distances_are_refused(tmp_path, oblique_scan, write_dicom, refused):
    normal = np.cross(oblique_scan.affine[:3, 0], oblique_scan.affine[:3, 1]) * [-1, -1, 1]

    def stretched(positions):
        return [p + normal * 0.08 * index**1.5 for index, p in enumerate(positions)]

    write_dicom(tmp_path, oblique_scan, positions=stretched)
    assert "unequal distances" in refused(read_scan, tmp_path)


def test_slices_of_a_tilted_gantry_are_read_where_they_lie(tmp_path, oblique_scan, write_dicom):
    step = np.tan(np.deg2rad(15)) * oblique_scan.spacing[2]
    along = oblique_scan.affine[:3, 1] * [-1, -1, 1] / oblique_scan.spacing[1]

    def tilted(positions):
        return [p + along * step * index for index, p in enumerate(positions)]

    write_dicom(tmp_path, oblique_scan, positions=tilted)
    scan = read_scan(tmp_path)
    assert scan.grid.is_sheared
    sheared = oblique_scan.affine.copy()
    sheared[:3, 2] += along * [-1, -1, 1] * step
    np.testing.assert_allclose(scan.affine, sheared, atol=1e-4)
    np.testing.assert_array_equal(scan.array, oblique_scan.array)


def test_slices_that_lie_beside_each_other_are_refused(
    tmp_path, oblique_scan, write_dicom, refused
):
    def shaken(positions):
        return [p + np.array([3.0, 0, 0]) * (index == 4) for index, p in enumerate(positions)]

    write_dicom(tmp_path, oblique_scan, positions=shaken)
    assert "beside each other" in refused(read_scan, tmp_path)


def test_repeated_positions_are_refused(tmp_path, oblique_scan, write_dicom, refused):
    uid = generate_uid()
    for echo in (1, 2):
        other = oblique_scan.with_array(oblique_scan.array // echo)
        write_dicom(tmp_path / str(echo), other, uid=uid)
    assert "several images at one place" in refused(read_scan, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.__delattr__("ImagePositionPatient"), "does not say where"),
        (
            lambda d: (setattr(d, "SamplesPerPixel", 3), setattr(d, "PixelData", 3 * d.PixelData)),
            "several values per voxel",
        ),
        (lambda d: setattr(d, "ImageOrientationPatient", [0] * 6), "does not say where"),
        (lambda d: setattr(d, "ImageOrientationPatient", [1, 0, 0] * 2), "does not say where"),
        (
            lambda d: d.add_new("ImagePositionPatient", "LO", ["nan", "0", "0"]),
            "does not say where",
        ),
        (lambda d: d.add_new("ImageOrientationPatient", "LO", ["nan"] * 6), "does not say where"),
        (lambda d: setattr(d, "PixelSpacing", [0, 0]), "voxel size of zero"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:20]), "cut short"),
        (lambda d: (setattr(d, "Rows", 20000), setattr(d, "Columns", 20000)), "cut short"),
    ],
)
def test_series_with_unusable_headers_or_pixels_are_refused(
    tmp_path, oblique_scan, write_dicom, refused, change, words
):
    write_dicom(tmp_path, oblique_scan, change=change)
    assert words in refused(read_scan, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [(b"0.9063", b"0.9..3"), (b"\\-22.2", b"\\-22\\2"), (b"US", b"XX")]
)
def test_a_file_with_a_broken_header_is_named(
    tmp_path, oblique_scan, write_dicom, refused, old, new
):
    write_dicom(tmp_path, oblique_scan)
    for path in sorted(tmp_path.iterdir()):
        data = path.read_bytes()
        if old in data[132:]:
            path.write_bytes(data[:132] + data[132:].replace(old, new))
            break
    else:
        pytest.fail("no file holds what was to be broken")
    assert f"{path.name} is a damaged DICOM file" in refused(read_scan, tmp_path)


def test_a_folder_without_dicom_and_a_single_image_are_refused(
    tmp_path, oblique_scan, write_dicom, refused
):
    (tmp_path / "empty").mkdir()
    assert "no DICOM images" in refused(read_scan, tmp_path / "empty")
    write_dicom(tmp_path, oblique_scan)
    one = next(tmp_path.glob("*.dcm"))
    assert "give the folder" in refused(read_scan, one)


def test_a_multi_frame_file_is_read_with_the_places_of_its_frames(tmp_path, oblique_scan):
    data = multi_frame(oblique_scan)
    data.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    for path in (tmp_path / "enhanced.dcm", tmp_path):
        scan = read_scan(path)
        np.testing.assert_array_equal(scan.array, oblique_scan.array)
        np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-6)


def test_a_file_that_describes_more_frames_than_it_counts_is_damaged(
    tmp_path, oblique_scan, refused
):
    data = multi_frame(oblique_scan)
    data.NumberOfFrames -= 1
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert "a.dcm is a damaged DICOM file" in refused(read_scan, tmp_path)


def test_directions_that_are_not_of_length_one_leave_the_size_of_voxels(
    tmp_path, oblique_scan, write_dicom
):
    def lengthen(data):
        data.ImageOrientationPatient = [1.01 * float(v) for v in data.ImageOrientationPatient]

    write_dicom(tmp_path, oblique_scan, change=lengthen)
    np.testing.assert_allclose(read_scan(tmp_path).affine, oblique_scan.affine, atol=1e-4)


def test_frames_are_placed_by_how_far_they_are_from_the_first(tmp_path, oblique_scan):
    data = plain_frames(oblique_scan)
    distance = float(oblique_scan.spacing[2])
    data.GridFrameOffsetVector = [distance * index for index in range(oblique_scan.shape[2])]
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    scan = read_scan(tmp_path / "a.dcm")
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-6)


def test_frames_of_which_only_the_first_has_a_place_are_refused(tmp_path, oblique_scan, refused):
    plain_frames(oblique_scan).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert "does not say where its images lie" in refused(read_scan, tmp_path / "a.dcm")


def test_colours_of_a_palette_are_no_grey_values(tmp_path, oblique_scan, write_dicom, refused):
    def change(data):
        data.PhotometricInterpretation = "PALETTE COLOR"

    write_dicom(tmp_path, oblique_scan, change=change)
    assert "several values per voxel" in refused(read_scan, tmp_path)
