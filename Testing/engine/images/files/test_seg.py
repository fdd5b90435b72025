"""Segmentations as Slicer loads them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.images.files.samples import LABELS
from factorizer_engine.images.files import read_scan, write_seg_nrrd
from factorizer_engine.images.files.seg_reading import read_seg_nrrd


def test_a_segmentation_reads_back_as_the_label_map_in_its_place(tmp_path, labelmap):
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(labelmap, LABELS, path, reference_name="FLAIR of\ncase 1")
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.array, labelmap.array)
    np.testing.assert_allclose(scan.affine, labelmap.affine, atol=1e-6)


def test_slicer_loads_the_segmentation_with_names_colours_and_codes(
    tmp_path, labelmap, loaded_by_slicer
):
    vtk = pytest.importorskip("vtk")
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(labelmap, LABELS, path)
    node, _storage = loaded_by_slicer(path)

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


def test_a_segmentation_reads_back_with_its_labels(tmp_path, labelmap):
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(labelmap, LABELS, path)
    found, labels = read_seg_nrrd(path)
    np.testing.assert_array_equal(found.array, labelmap.array)
    np.testing.assert_allclose(found.affine, labelmap.affine, atol=1e-6)
    assert labels == LABELS


def save_layers(path, scan, layers, segments) -> None:
    """A segmentation as Slicer writes it: a layer for segments that share no voxel."""
    import SimpleITK as sitk

    from factorizer_engine.images.files.itk import itk_image

    images = [itk_image(scan.with_array(layer)) for layer in layers]
    image = sitk.Compose(images) if len(images) > 1 else images[0]
    for number, fields in enumerate(segments):
        for key, value in fields.items():
            image.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(image, str(path))


def test_what_slicer_keeps_in_layers_becomes_one_label_map(tmp_path, labelmap, refused):
    edema, core = (labelmap.array == 2), (labelmap.array == 4)
    layers = [edema.astype(np.uint8), core.astype(np.uint8)]
    segments = [
        {"ID": "Label_2", "Name": "Oedema", "LabelValue": 1, "Layer": 0, "Color": "1 1 0"},
        {"ID": "Segment_1", "Name": "Mine", "LabelValue": 1, "Layer": 1, "Color": "0 0.5 1"},
    ]
    path = tmp_path / "layers.seg.nrrd"
    save_layers(path, labelmap, layers, segments)
    found, labels = read_seg_nrrd(path)
    assert [(label.value, label.name, label.color) for label in labels] == [
        (2, "Oedema", (255, 255, 0)),
        (1, "Mine", (0, 128, 255)),
    ]
    np.testing.assert_array_equal(found.array, np.where(core, 1, np.where(edema, 2, 0)))

    layers[0] |= layers[1]
    save_layers(path, labelmap, layers, segments)
    assert "'Oedema' and 'Mine'" in refused(read_seg_nrrd, path)
    save_layers(path, labelmap, layers[:1], segments)
    assert "lacks the voxels" in refused(read_seg_nrrd, path)
    save_layers(path, labelmap, layers[:1], [])
    assert "no segment" in refused(read_seg_nrrd, path)
