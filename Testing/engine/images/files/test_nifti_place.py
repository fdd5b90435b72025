"""Where NIfTI headers put voxels: where ITK and Slicer put them, whatever the header says."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from engine.images.files.samples import nifti_bytes
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.nifti import read_nifti_volumes

SHAPE = (4, 5, 6)
SIZES = (0.9, 0.8, 2.5)


CODES = list(itertools.product((-1, 0, 1, 2, 3, 4, 5, 7), (-1, 0, 1, 2, 4)))


def turned(axes: tuple[int, int], degrees: float, origin: tuple[float, ...]) -> np.ndarray:
    """A right-handed grid with voxels of SIZES, turned in the plane of two axes."""
    angle, affine = np.deg2rad(degrees), np.eye(4)
    affine[np.ix_(axes, axes)] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    affine = affine @ np.diag([*SIZES, 1.0])
    affine[:3, 3] = origin
    return affine


FIRST = turned((1, 2), 25, (40, 31, -22))
SECOND = turned((0, 1), 10, (10, -11, 5))
SHEARED = FIRST @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def write(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int], **fields):
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_qform(qform, 1)
    names = ("pixdim", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    rows = dict(zip(("srow_x", "srow_y", "srow_z"), sform[:3], strict=True))
    own = {name: header[name] for name in names} | rows
    coded = {"sform_code": codes[0], "qform_code": codes[1], "xyzt_units": 2}
    path.write_bytes(nifti_bytes(SHAPE, **(own | coded | fields)))
    return path


def place_in_itk(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def place_in_slicer(path: Path) -> np.ndarray:
    """Where Slicer's own reader puts the voxels; of the right hand, which it does not mirror."""
    slicer, vtk = pytest.importorskip("slicer"), pytest.importorskip("vtk")
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


@pytest.mark.parametrize("reference", [place_in_itk, place_in_slicer])
@pytest.mark.parametrize("codes", CODES)
def test_every_combination_of_codes_puts_voxels_where_slicer_does(tmp_path, codes, reference):
    path = write(tmp_path / "a.nii", FIRST, SECOND, codes)
    np.testing.assert_allclose(read_scan(path).affine, reference(path), atol=1e-4)


@pytest.mark.parametrize(
    ("codes", "place"),
    [
        ((1, 1), FIRST),
        ((1, 0), FIRST),
        ((2, 0), FIRST),
        ((0, 1), SECOND),
        ((2, 1), SECOND),
        ((4, 2), SECOND),
        ((0, 0), np.diag([-0.9, -0.8, 2.5, 1.0])),
    ],
)
def test_which_of_two_places_counts(tmp_path, codes, place):
    path = write(tmp_path / "a.nii", FIRST, SECOND, codes)
    np.testing.assert_allclose(read_scan(path).affine, place, atol=1e-5)


@pytest.mark.parametrize(
    "sform", [SHEARED, FIRST @ np.diag([2, 2, 2, 1]), np.diag([0.0, 0, 0, 1]), FIRST]
)
@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (0, 1), (0, 0)])
def test_sforms_that_are_sheared_scaled_or_empty_count_as_in_itk(tmp_path, sform, codes):
    path = write(tmp_path / "a.nii", sform, SECOND, codes)
    np.testing.assert_allclose(read_scan(path).affine, place_in_itk(path), atol=1e-4)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)])
def test_a_voxel_size_below_zero_turns_its_axis_as_in_itk(tmp_path, codes, axis):
    pixdim = np.array([1, *SIZES, 0, 0, 0, 0], np.float32)
    pixdim[1 + axis] *= -1
    path = write(tmp_path / "a.nii", FIRST, FIRST, codes, pixdim=pixdim)
    np.testing.assert_allclose(read_scan(path).affine, place_in_itk(path), atol=1e-4)


@pytest.mark.parametrize("codes", [(1, 0), (2, 0)])
def test_a_sheared_sform_alone_is_taken_as_it_is(tmp_path, codes):
    path = write(tmp_path / "a.nii", SHEARED, SECOND, codes)
    shown = read_scan(path).affine[:3, 3]
    np.testing.assert_allclose(shown, SHEARED[:3, 3], atol=1e-4)
    assert read_scan(path).grid.is_sheared


@pytest.mark.parametrize(
    "quaternion", [(0.00083, 0.99999994, 0.0003), (0.6, 0.8, 0.01), (3.0, 4.0, 0.0)]
)
@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (0, 1)])
def test_a_quaternion_that_is_too_long_is_shortened_as_in_itk(tmp_path, quaternion, codes):
    fields = dict(zip(("quatern_b", "quatern_c", "quatern_d"), quaternion, strict=True))
    path = write(tmp_path / "a.nii", FIRST, SECOND, codes, **fields)
    np.testing.assert_allclose(read_scan(path).affine, place_in_itk(path), atol=1e-4)


@pytest.mark.parametrize("qfac", [0.0, 1.0, -1.0, -2.0])
def test_the_hand_of_the_qform_is_that_of_itk(tmp_path, qfac):
    fields = {"pixdim": [qfac, *SIZES, 0, 0, 0, 0]}
    path = write(tmp_path / "a.nii", FIRST, SECOND, (2, 1), **fields)
    np.testing.assert_allclose(read_scan(path).affine, place_in_itk(path), atol=1e-4)


@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (2, 1)])
@pytest.mark.parametrize("units", [1, 3])
def test_places_in_other_units_are_those_of_itk(tmp_path, codes, units):
    path = write(tmp_path / "a.nii", FIRST, SECOND, codes, xyzt_units=units)
    np.testing.assert_allclose(read_scan(path).affine, place_in_itk(path), rtol=1e-5, atol=1e-6)


def test_analyze_which_has_no_codes_lies_where_itk_puts_it(tmp_path):
    image = nib.AnalyzeImage(np.arange(120, dtype=np.int16).reshape(SHAPE), None)
    image.header.set_zooms(SIZES)
    nib.save(image, tmp_path / "a.img")
    scan = read_scan(tmp_path / "a.img")
    np.testing.assert_allclose(scan.affine, np.diag([-0.9, -0.8, 2.5, 1.0]), atol=1e-6)
    np.testing.assert_allclose(scan.affine, place_in_itk(tmp_path / "a.hdr"), atol=1e-6)


def test_a_pair_of_files_is_placed_by_its_header(tmp_path):
    image = nib.Nifti1Pair(np.arange(120, dtype=np.int16).reshape(SHAPE), FIRST)
    image.set_sform(FIRST, 2)
    image.set_qform(SECOND, 1)
    nib.save(image, tmp_path / "a.img")
    scan = read_scan(tmp_path / "a.img")
    np.testing.assert_allclose(scan.affine, place_in_itk(tmp_path / "a.hdr"), atol=1e-4)


def test_two_different_places_are_remarked_and_equal_ones_are_not(tmp_path, caplog):
    read_scan(write(tmp_path / "a.nii", FIRST, FIRST, (2, 1)))
    assert not caplog.records
    read_scan(write(tmp_path / "a.nii", FIRST, SECOND, (2, 1)))
    (record,) = caplog.records
    assert "mm apart; the qform counts, as in Slicer" in record.getMessage()


def test_voxel_sizes_that_contradict_each_other_are_remarked(tmp_path, caplog):
    read_scan(write(tmp_path / "a.nii", FIRST @ np.diag([2, 2, 2, 1]), FIRST, (1, 0)))
    assert "1.8 x 1.6 x 5 mm by its sform" in caplog.text


@pytest.mark.parametrize("codes", [(0, 0), (2, 1), (1, 0)])
def test_volumes_of_one_file_lie_where_a_single_one_does(tmp_path, codes):
    single = write(tmp_path / "single.nii", FIRST, SECOND, codes)
    content = bytearray(single.read_bytes())
    stack = nib.Nifti1Header(bytes(content[:348]))
    stack.set_data_shape((*SHAPE, 2))
    voxels = bytes(content[352:])
    (tmp_path / "stack.nii").write_bytes(stack.binaryblock + b"\0" * 4 + voxels + voxels)
    scan = read_scan(single)
    volumes = read_nifti_volumes(tmp_path / "stack.nii")
    assert len(volumes) == 2
    for volume in volumes:
        np.testing.assert_array_equal(volume.affine, scan.affine)
        np.testing.assert_array_equal(volume.array, scan.array)
