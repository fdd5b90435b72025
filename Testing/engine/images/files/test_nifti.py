"""NIfTI: where a header puts its voxels, and files that all programs read."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from engine.images.files.samples import nifti_bytes, save_itk, save_nifti
from factorizer_engine.images.files import read_scan, write_nifti
from factorizer_engine.images.scan import Scan


def test_big_endian_and_scaled_nifti_are_read(tmp_path):
    values = np.arange(120, dtype=">i2")
    header = nib.Nifti1Header(nifti_bytes(scl_slope=2, scl_inter=5)[:348]).as_byteswapped(">")
    (tmp_path / "big.nii").write_bytes(header.binaryblock + b"\0" * 4 + values.tobytes())
    scan = read_scan(tmp_path / "big.nii")
    assert scan.array.dtype.isnative
    np.testing.assert_array_equal(scan.array.ravel(order="F"), 2.0 * values + 5)


def test_an_offset_of_zero_does_not_make_voxels_of_the_header(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(vox_offset=0))
    scan = read_scan(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.array.ravel(order="F"), np.arange(120))


@pytest.mark.parametrize("places", [[400], [200], [0, 380, 420]])
def test_a_file_that_was_compressed_in_parts_is_read_whole(tmp_path, places):
    content, ends = nifti_bytes(), [*places, None]
    parts = [content[begin:end] for begin, end in zip([0, *places], ends, strict=True)]
    (tmp_path / "a.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    values = read_scan(tmp_path / "a.nii.gz").array.ravel(order="F")
    np.testing.assert_array_equal(values, np.arange(120))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_intercept_that_is_no_number_adds_nothing(tmp_path, odd):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(scl_slope=2, scl_inter=odd))
    values = read_scan(tmp_path / "a.nii").array.ravel(order="F")
    np.testing.assert_array_equal(values, 2 * np.arange(120))


def test_axes_of_length_zero_behind_the_third_are_none(tmp_path):
    shape = [4, 4, 5, 6, 0, 0, 0, 0]
    (tmp_path / "a.nii").write_bytes(nifti_bytes(dim=shape))
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii").array.ravel("F"), np.arange(120))


def test_the_sform_of_the_scanner_counts_before_the_qform_and_the_qform_where_it_is_alone(tmp_path):
    rows = {
        "srow_x": [2, 0, 0, 1],
        "srow_y": [0, 2, 0, 2],
        "srow_z": [0, 0, 2, 3],
        "qform_code": 1,
        "qoffset_x": 50,
    }
    for code, offset in ((1, 1.0), (0, 50.0)):
        (tmp_path / "a.nii").write_bytes(nifti_bytes(sform_code=code, **rows))
        assert read_scan(tmp_path / "a.nii").affine[0, 3] == offset


def test_a_singular_sform_gives_way_to_the_qform(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(sform_code=1, qform_code=1, qoffset_y=9))
    assert read_scan(tmp_path / "a.nii").affine[1, 3] == 9.0


def test_without_any_orientation_axes_run_left_back_and_up_as_in_itk(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(pixdim=[1, 2, 3, 4, 0, 0, 0, 0]))
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii").affine, np.diag([-2, -3, 4, 1]))


def test_lengths_in_metres_become_millimetres(tmp_path):
    fields = {"pixdim": [1, 0.001, 0.001, 0.002, 0, 0, 0, 0], "qform_code": 1, "xyzt_units": 1}
    (tmp_path / "a.nii").write_bytes(nifti_bytes(**fields))
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii").spacing, [1, 1, 2], rtol=1e-6)


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path, oblique_scan):
    save_nifti(oblique_scan.with_array(oblique_scan.array[..., None]), tmp_path / "a.nii.gz")
    assert read_scan(tmp_path / "a.nii.gz").shape == oblique_scan.shape


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_nifti_keeps_voxels_place_and_type(tmp_path, oblique_scan, ending, kind):
    scan = oblique_scan.with_array(np.abs(oblique_scan.array).astype(kind))
    write_nifti(scan, tmp_path / f"a{ending}")
    image = nib.load(tmp_path / f"a{ending}")
    assert image.get_data_dtype() == kind
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), scan.array)
    np.testing.assert_allclose(image.affine, scan.affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), scan.affine, atol=1e-4)


def test_nifti_of_a_sheared_grid_keeps_the_shear_in_the_sform_alone(tmp_path, oblique_scan, caplog):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    write_nifti(Scan.of(oblique_scan.array, shear @ oblique_scan.affine), tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.header["qform_code"] == 1
    np.testing.assert_allclose(image.affine, shear @ oblique_scan.affine, atol=1e-5)
    qform, centre = image.get_qform(), [4.5, 5.5, 4, 1]
    np.testing.assert_allclose(qform @ centre, image.affine @ centre, atol=1e-4)
    assert not Scan.of(oblique_scan.array, qform).grid.is_sheared
    np.testing.assert_allclose(nib.affines.voxel_sizes(qform), image.header.get_zooms(), rtol=1e-5)
    assert "sheared axes" in caplog.text


@pytest.mark.parametrize("shear", [0.0005, 0.002, 0.3])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_itk_opens_the_result_of_a_sheared_scan(tmp_path, oblique_scan, shear, ending):
    matrix = np.eye(4)
    matrix[0, 1] = shear
    save_itk(Scan.of(oblique_scan.array, matrix @ oblique_scan.affine), tmp_path / f"a{ending}")
    scan = read_scan(tmp_path / f"a{ending}")
    for array in (scan.array, np.stack([scan.array] * 2, axis=-1)):
        write_nifti(Scan.of(array, scan.affine), tmp_path / "result.nii.gz")
        image = sitk.ReadImage(str(tmp_path / "result.nii.gz"))
        centre = [(n - 1) / 2 for n in scan.shape]
        there = np.array(
            image.TransformContinuousIndexToPhysicalPoint(centre + [0] * (array.ndim - 3))
        )
        np.testing.assert_allclose(
            there[:3] * [-1, -1, 1], (scan.affine @ [*centre, 1])[:3], atol=1e-2
        )


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([[[True, False]]]), np.uint8),
        (np.array([[[0.5, 1.5]]], np.float16), np.float32),
        (np.array([[[3, -4]]], np.int64), np.int32),
        (np.array([[[2**40, 1]]], np.int64), np.float64),
    ],
)
def test_types_that_few_programs_read_become_common_ones(tmp_path, array, kind):
    write_nifti(Scan.of(array, np.eye(4)), tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    assert image.get_data_dtype() == kind
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), array.astype(kind))


def test_missing_folders_are_made(tmp_path, labelmap):
    write_nifti(labelmap, tmp_path / "new" / "folder" / "a.nii.gz")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["a.nii.gz"]
