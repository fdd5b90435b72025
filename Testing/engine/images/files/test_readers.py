"""Reading files: voxels and their place, whatever the format; damage refused in one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from factorizer_engine.images import checks
from factorizer_engine.images.files.readers import read_scan, scan_name
from factorizer_engine.images.scan import Scan


def save_nifti(scan: Scan, path: Path) -> None:
    image = nib.Nifti1Image(scan.array, scan.affine)
    image.set_qform(scan.affine, 1)
    nib.save(image, path)


def save_itk(scan: Scan, path: Path, compress: bool = False) -> None:
    image = sitk.GetImageFromArray(scan.array.transpose(2, 1, 0))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    image.SetSpacing(scan.spacing)
    image.SetOrigin(lps[:3, 3])
    image.SetDirection((lps[:3, :3] / scan.spacing).ravel())
    sitk.WriteImage(image, str(path), compress)


def nifti_bytes(shape=(4, 5, 6), data: bytes | None = None, **fields) -> bytes:
    """A NIfTI-1 file made by hand, so that headers that libraries refuse to write can be tried."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["pixdim"][1:4] = 1
    for key, value in fields.items():
        header[key] = value
    if data is None:
        data = np.arange(np.prod(shape), dtype=np.int16).tobytes()
    return header.binaryblock + b"\0" * 4 + data


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_every_format_gives_the_same_voxels_in_the_same_place(tmp_path, oblique_scan, ending):
    path = tmp_path / f"scan{ending}"
    (save_nifti if ".nii" in ending else save_itk)(oblique_scan, path)
    scan = read_scan(path)
    assert scan.name == "scan"
    assert scan.array.dtype == np.int16
    np.testing.assert_array_equal(scan.array, oblique_scan.array)
    np.testing.assert_allclose(scan.affine, oblique_scan.affine, atol=1e-5)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_compressed_itk_files_are_read(tmp_path, oblique_scan, ending):
    save_itk(oblique_scan, tmp_path / f"scan{ending}", compress=True)
    np.testing.assert_array_equal(read_scan(tmp_path / f"scan{ending}").array, oblique_scan.array)


def test_nrrd_in_ras_space_is_placed_right(tmp_path):
    voxels = np.arange(60, dtype=np.uint8)
    header = (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: right-anterior-superior\nsizes: 3 4 5\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nencoding: raw\nspace origin: (7,8,9)\n\n"
    )
    (tmp_path / "ras.nrrd").write_bytes(header.encode() + voxels.tobytes())
    scan = read_scan(tmp_path / "ras.nrrd")
    np.testing.assert_allclose(
        scan.affine, [[2, 0, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1]]
    )
    assert scan.array[1, 0, 0] == 1


def test_big_endian_and_scaled_nifti_are_read(tmp_path):
    values = np.arange(120, dtype=">i2")
    header = nib.Nifti1Header(nifti_bytes(scl_slope=2, scl_inter=5)[:348]).as_byteswapped(">")
    (tmp_path / "big.nii").write_bytes(header.binaryblock + b"\0" * 4 + values.tobytes())
    scan = read_scan(tmp_path / "big.nii")
    assert scan.array.dtype.isnative
    np.testing.assert_array_equal(scan.array.ravel(order="F"), 2.0 * values + 5)


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path, oblique_scan):
    save_nifti(oblique_scan.with_array(oblique_scan.array[..., None]), tmp_path / "a.nii.gz")
    assert read_scan(tmp_path / "a.nii.gz").shape == oblique_scan.shape


def test_the_sform_counts_before_the_qform_and_the_qform_where_there_is_no_sform(tmp_path):
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


def test_without_any_orientation_axes_run_right_front_and_up_as_in_itk(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(pixdim=[1, 2, 3, 4, 0, 0, 0, 0]))
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii").affine, np.diag([2, 3, 4, 1]))


def test_lengths_in_metres_become_millimetres(tmp_path):
    fields = {"pixdim": [1, 0.001, 0.001, 0.002, 0, 0, 0, 0], "qform_code": 1, "xyzt_units": 1}
    (tmp_path / "a.nii").write_bytes(nifti_bytes(**fields))
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii").spacing, [1, 1, 2], rtol=1e-6)


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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        # Compressed without the time: both processes that test must collect the same.
        ("a.nii.gz", b"some text\n", "holds text"),
        ("a.nii.gz", nifti_bytes(), "holds uncompressed NIfTI"),
        ("a.nii", gzip.compress(nifti_bytes(), mtime=0), "holds compressed NIfTI"),
        ("a.nii", b"\x89PNG" + bytes(1000), "holds a PNG picture"),
        ("a.nii.gz", gzip.compress(b"some text\n" * 99, mtime=0), "holds compressed text"),
        ("a.nrrd", b"\xff\xd8\xff" + bytes(1000), "holds a JPEG picture"),
        ("a.mha", nifti_bytes(), "holds uncompressed NIfTI"),
        ("a.txt", b"some text\n", "holds text and is no scan"),
        ("a.png", b"\x89PNG" + bytes(1000), "a PNG picture and is no scan"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, refused, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refused(read_scan, tmp_path / name)


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
        assert "1 voxels that are no finite number" in refused(read_scan, tmp_path / "a.nii.gz")


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


def test_endings_of_image_formats_do_not_belong_to_a_scans_name():
    assert scan_name("/data/case.1_flair.nii.gz") == "case.1_flair"
    assert scan_name("result.seg.nrrd") == "result"
    assert scan_name("folder") == "folder"
