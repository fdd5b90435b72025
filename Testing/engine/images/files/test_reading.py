"""Reading files: voxels and their place, whatever the format; damage refused in one sentence."""

from __future__ import annotations

import gzip
import time

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from engine.images.files.samples import nifti_bytes, save_itk, save_nifti
from factorizer_engine.images import checks
from factorizer_engine.images.files import read_labels, read_scan
from factorizer_engine.images.files import reading as files_reading
from factorizer_engine.protocol.errors import BadInputError


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_every_format_gives_the_same_voxels_in_the_same_place(tmp_path, oblique_scan, ending):
    path = tmp_path / f"scan{ending}"
    (save_nifti if ".nii" in ending else save_itk)(oblique_scan, path)
    scan = read_scan(path)
    assert scan.name == "scan"
    assert scan.array.dtype == np.int16
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-5)


def test_a_missing_and_an_empty_file_are_refused(tmp_path, refused):
    assert "does not exist" in refused(read_scan, tmp_path / "none.nii.gz")
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a"):
        (tmp_path / name).touch()
        assert "is empty" in refused(read_scan, tmp_path / name)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.97])
def test_a_truncated_file_is_refused(tmp_path, oblique_scan, refused, ending, kept):
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    (save_nifti if ".nii" in ending else save_itk)(oblique_scan, whole)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * kept)])
    message = refused(read_scan, cut)
    assert message.startswith("cut") and ("cut short" in message or "named like" in message)


def test_several_volumes_colours_and_single_slices_are_refused(tmp_path, refused):
    affine, path = np.eye(4), tmp_path / "a.nii.gz"
    for array, words in (
        (np.zeros((4, 5, 6, 3), np.float32), "several volumes"),
        (np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "several values"),
        (np.zeros((4, 5, 6), np.complex64), "several values"),
        (np.zeros((4, 5, 1), np.float32), "single slice"),
        (np.zeros((4, 5), np.float32), "single slice"),
    ):
        nib.save(nib.Nifti1Image(array, affine), path)
        assert words in refused(read_scan, path)
    for shape, vector, words in (
        ((4, 5, 6, 3), True, "several values"),
        ((3, 4, 5, 6), False, "several volumes"),
        ((1, 4, 5), False, "single slice"),
    ):
        image = sitk.GetImageFromArray(np.zeros(shape, np.float32), isVector=vector)
        for ending in (".nrrd", ".mha"):
            sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
            assert words in refused(read_scan, tmp_path / f"a{ending}")


def test_voxels_that_are_not_finite_are_refused(tmp_path, oblique_scan, refused):
    for value in (np.nan, np.inf, -np.inf):
        array = oblique_scan.array.astype(np.float32)
        array[2, 3, 4] = value
        save_nifti(oblique_scan.with_array(array), tmp_path / "a.nii.gz")
        assert "1 voxel that is no finite number" in refused(read_scan, tmp_path / "a.nii.gz")


def test_nan_around_the_image_is_background(tmp_path, oblique_scan):
    array = oblique_scan.array.astype(np.float32)
    array[[0, -1]] = array[:, [0, -1]] = array[:, :, [0, -1]] = np.nan
    array[2, 3, 2] = np.nan  # a hole in a mask is as empty as its outside
    save_nifti(oblique_scan.with_array(array), tmp_path / "a.nii.gz")
    read = read_scan(tmp_path / "a.nii.gz").array
    np.testing.assert_array_equal(read, np.nan_to_num(array, nan=0.0))


@pytest.mark.parametrize("background", [0.0, -1.0])
def test_nan_in_the_corners_of_a_turned_image_is_background(tmp_path, oblique_scan, background):
    array = np.full(oblique_scan.shape, background, np.float32)
    array[2:-2, 2:-2, 2:-2] = oblique_scan.array[2:-2, 2:-2, 2:-2] + np.float32(9000)
    array[:3, :3, :3] = array[-2:, -4:, :] = np.nan
    save_nifti(oblique_scan.with_array(array), tmp_path / "a.nii.gz")
    read = read_scan(tmp_path / "a.nii.gz").array
    np.testing.assert_array_equal(read, np.nan_to_num(array, nan=background))


def test_nan_in_the_corners_does_not_excuse_nan_in_the_image(tmp_path, oblique_scan, refused):
    array = oblique_scan.array.astype(np.float32)
    array[:2, :2, :2] = array[4, 4, 4] = np.nan
    save_nifti(oblique_scan.with_array(array), tmp_path / "a.nii.gz")
    assert "9 voxels that are no finite number" in refused(read_scan, tmp_path / "a.nii.gz")


def test_infinity_is_no_background(tmp_path, oblique_scan, refused):
    array = oblique_scan.array.astype(np.float32)
    array[0] = array[-1] = np.inf
    save_nifti(oblique_scan.with_array(array), tmp_path / "a.nii.gz")
    assert "no finite number" in refused(read_scan, tmp_path / "a.nii.gz")


def test_a_voxel_size_of_zero_is_refused_in_every_format(tmp_path, refused):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti_bytes(pixdim=[1, 1, 0, 1, 0, 0, 0, 0], qform_code=1))
    assert "voxel size of zero" in refused(read_scan, path)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert "voxel size of zero" in refused(read_scan, tmp_path / "a.nii.gz")
    text = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 0\n"
    text += "DimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + bytes(64))
    assert "voxel size of zero" in refused(read_scan, tmp_path / "a.mha")
    text = "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
    text += "space directions: (1,0,0) (0,1,0) (0,0,0)\nencoding: raw\nspace origin: (0,0,0)\n\n"
    (tmp_path / "a.nrrd").write_bytes(text.encode() + bytes(64))
    assert "where its voxels lie" in refused(read_scan, tmp_path / "a.nrrd")


def test_a_singular_affine_is_refused(tmp_path, refused):
    fields = {"srow_x": [1, 0, 0, 0], "srow_y": [0, 1, 1, 0], "srow_z": [0, 0, 0, 0]}
    (tmp_path / "a.nii").write_bytes(nifti_bytes(sform_code=1, **fields))
    assert "do not span space" in refused(read_scan, tmp_path / "a.nii")
    text = "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
    text += "space directions: (1,0,0) (0,1,0) (0,1,0)\nencoding: raw\nspace origin: (0,0,0)\n\n"
    (tmp_path / "a.nrrd").write_bytes(text.encode() + bytes(64))
    assert "do not span space" in refused(read_scan, tmp_path / "a.nrrd")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_huge_volume_is_refused_before_any_voxel_is_read(tmp_path, refused, monkeypatch, ending):
    path = tmp_path / f"huge{ending}"
    if ".nii" in ending:
        data = nifti_bytes((1024, 1024, 1024), b"")
        path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    elif ending == ".nrrd":
        path.write_text(
            "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nendian: little\n"
            "sizes: 1024 1024 1024\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
            "encoding: raw\nspace origin: (0,0,0)\n\n"
        )
    else:
        path.write_text(
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 1\n"
            "DimSize = 1024 1024 1024\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
        )
    assert "too large" in refused(read_scan, path)
    monkeypatch.setattr(checks, "MAX_VOXELS", 2**40)
    monkeypatch.setattr(checks, "available_memory", lambda: 4 * 10**9)
    assert "4.0 GB are free" in refused(read_scan, path)


def test_scans_are_read_one_after_another_where_memory_is_short(
    tmp_path, oblique_scan, monkeypatch, refused
):
    names = ("a", "b", "c")
    paths = {name: tmp_path / f"{name}.nii.gz" for name in names}
    for path in paths.values():
        save_nifti(oblique_scan, path)
    reading = []

    def alone(path):
        reading.append(path)
        try:
            if len(reading) > 1:
                raise BadInputError("It does not fit beside the other.")
            time.sleep(0.05)
            return read_scan(path)
        finally:
            reading.remove(path)

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(files_reading, "read_scan", alone)
    found = files_reading.read_scans(paths)
    assert list(found) == list(names)
    assert all(np.array_equal(scan.array, oblique_scan.array) for scan in found.values())
    paths["b"].write_bytes(b"")
    monkeypatch.setattr(files_reading, "read_scan", read_scan)
    assert "b.nii.gz is empty" in refused(files_reading.read_scans, paths)


def test_labels_that_are_nearly_whole_numbers_are_whole(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (4, 5, 6)).astype(np.float32)
    for factor, right in ((1 - 1e-7, labels), (0.5, 0.5 * labels)):
        image = nib.Nifti1Image(labels * np.float32(factor), np.eye(4))
        nib.save(image, tmp_path / "a.nii")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.nii").array, right)
