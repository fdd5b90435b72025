"""Results on disk: complete or not at all, and readable by nibabel, ITK and Slicer."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from factorizer_engine.images.files.readers import read_scan
from factorizer_engine.images.files.writers import write_nifti, write_seg_nrrd
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.tables import LESION_COLUMNS, write_lesions_csv
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Label

NEOPLASM = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)
LABELS = (
    Label(1, "Necrotic core", (200, 40, 40), NEOPLASM),
    Label(2, "Oedema", (255, 255, 0), NEOPLASM),
    Label(4, "Enhancing tumour", (0, 128, 255), NEOPLASM),
)


@pytest.fixture
def labelmap(oblique_scan) -> Scan:
    array = np.zeros(oblique_scan.shape, np.uint8)
    array[2:8, 3:9, 2:7] = 2
    array[4:6, 4:7, 3:6] = 4
    return oblique_scan.with_array(array)


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


def test_nifti_of_a_sheared_grid_keeps_the_shear_in_the_sform_alone(tmp_path, oblique_scan):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    write_nifti(Scan.of(oblique_scan.array, shear @ oblique_scan.affine), tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.header["qform_code"] == 0
    np.testing.assert_allclose(image.affine, shear @ oblique_scan.affine, atol=1e-5)


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


def test_a_segmentation_reads_back_as_the_label_map_in_its_place(tmp_path, labelmap):
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(labelmap, LABELS, path, reference_name="FLAIR of\ncase 1")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.array, labelmap.array)
    np.testing.assert_allclose(scan.affine, labelmap.affine, atol=1e-6)


def test_slicer_loads_the_segmentation_with_names_colours_and_codes(tmp_path, labelmap):
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    vtk = pytest.importorskip("vtk")
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(labelmap, LABELS, path)
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1

    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    assert segmentation.GetNumberOfLayers() == 1
    for index, label in enumerate(LABELS):
        segment = segmentation.GetNthSegment(index)
        assert segmentation.GetNthSegmentID(index) == f"Label_{label.value}"
        assert segment.GetName() == label.name
        assert segment.GetLabelValue() == label.value
        np.testing.assert_allclose(np.multiply(segment.GetColor(), 255), label.color, atol=0.01)
        text = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", text)
        assert str(text) == label.terminology
    image = node.GetBinaryLabelmapInternalRepresentation("Label_4")
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(affine, labelmap.affine, atol=1e-6)
    assert image.GetScalarComponentAsDouble(5, 5, 4, 0) == 4
    geometry = segmentation.GetConversionParameter("Reference image geometry").split(";")
    np.testing.assert_allclose(
        [float(v) for v in geometry[:16]], labelmap.affine.ravel(), atol=1e-9
    )
    assert geometry[16:22] == ["0", "9", "0", "11", "0", "8"]


def test_lesions_are_written_one_per_row(tmp_path):
    lesion = Lesion(1, 4, "Enhancing tumour", 1.23456, 20.5, (1.0, -2.345, 3.0), 0.91234)
    write_lesions_csv([lesion], tmp_path / "lesions.csv")
    with open(tmp_path / "lesions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(LESION_COLUMNS)
    assert rows[0]["class"] == "Enhancing tumour"
    assert float(rows[0]["volume_ml"]) == pytest.approx(1.2346)
    assert float(rows[0]["centroid_a_mm"]) == pytest.approx(-2.345, abs=0.01)
    write_lesions_csv([], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join(LESION_COLUMNS) + "\n"


def test_missing_folders_are_made(tmp_path, labelmap):
    write_nifti(labelmap, tmp_path / "new" / "folder" / "a.nii.gz")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.seg.nrrd", "a.csv"])
def test_an_unwritable_folder_is_refused(tmp_path, labelmap, refused, name):
    (tmp_path / "file").write_text("in the way")
    assert "choose another folder" in refused(write, labelmap, tmp_path / "file" / name)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path, labelmap, refused):
    (tmp_path / "a.nii.gz").mkdir()
    assert "is a folder" in refused(write, labelmap, tmp_path / "a.nii.gz")


def test_names_of_other_formats_are_refused(tmp_path, labelmap, refused):
    assert "must end with" in refused(write_nifti, labelmap, tmp_path / "a.png")
    assert "must end with" in refused(write_seg_nrrd, labelmap, LABELS, tmp_path / "a.nrrd")


def test_without_space_the_old_file_stays_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")
    with (
        pytest.raises(BadInputError, match="no space left") as caught,
        written_atomically(path) as temporary,
    ):
        temporary.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value).count(". ") == 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write(labelmap: Scan, path: Path) -> None:
    """Write something of the format that the name asks for."""
    if path.name.endswith(".nii.gz"):
        write_nifti(labelmap, path)
    elif path.name.endswith(".seg.nrrd"):
        write_seg_nrrd(labelmap, LABELS, path)
    else:
        write_lesions_csv([], path)
