"""Segmentations as Slicer loads them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.images.files.samples import LABELS
from factorizer_engine.images.files import read_scan, write_seg_nrrd


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
