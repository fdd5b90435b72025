"""DICOM segmentations and reports, read back by highdicom and by pydicom alone."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from engine.dicom_writing import FRAME, LPS_TO_RAS
from engine.images.files.samples import LABELS
from factorizer_engine.images.files.dicom.derived import Algorithm
from factorizer_engine.images.files.dicom.source import read_source
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.dicom import write_dicom_objects
from factorizer_engine.lesions.measuring import find_lesions

MODEL = Algorithm("glioma", "1.2", edited=("Oedema",))


def lesions_in(scan: Scan) -> Scan:
    """Two masses, one of them with a core, and not symmetric along any axis."""
    array = np.zeros(scan.shape, np.uint8)
    array[1:5, 2:9, 1:5] = 2
    array[2:4, 3:6, 2:4] = 4
    array[7:9, 1:3, 6:8] = 2
    return scan.with_array(array)


def values_by_hand(path, labels, grid) -> np.ndarray:
    """The label map that a SEG file holds, by nothing but its elements and the place of frames."""
    data = pydicom.dcmread(path)
    frames = data.pixel_array
    names = {item.SegmentNumber: item.SegmentLabel for item in data.SegmentSequence}
    values = {label.name: label.value for label in labels}
    found = np.zeros(grid.shape, np.uint8)
    inverse = np.linalg.inv(LPS_TO_RAS @ grid.affine)
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        corner = inverse[:3, :3] @ position + inverse[:3, 3]
        np.testing.assert_allclose(corner[:2], 0, atol=1e-3)
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        plane = found[:, :, round(corner[2])]
        plane[frame.T.astype(bool)] = values[names[number]]
    return found


@pytest.mark.parametrize("kind", ["straight_scan", "oblique_scan"])
def test_a_segmentation_reads_back_to_the_same_voxels(kind, request, write_series, tmp_path):
    scan = request.getfixturevalue(kind)
    source, labelmap = write_series(scan), lesions_in(scan)
    path, _ = write_dicom_objects(labelmap, LABELS, source, MODEL, tmp_path)

    np.testing.assert_array_equal(values_by_hand(path, LABELS, source.grid), labelmap.array)
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    numbers = {1: 2, 2: 4}
    for number, value in numbers.items():
        where = np.argwhere(volume.array == number) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        own = np.argwhere(labelmap.array == value)
        expected = own @ (LPS_TO_RAS @ scan.affine)[:3, :3].T + (LPS_TO_RAS @ scan.affine)[:3, 3]
        assert len(where) == len(expected)
        by_place = [points[np.lexsort(np.round(points, 2).T)] for points in (where, expected)]
        np.testing.assert_allclose(*by_place, atol=1e-3)


def test_a_segmentation_says_what_it_is_and_of_what(oblique_scan, write_series, tmp_path):
    source = write_series(oblique_scan)
    path, _ = write_dicom_objects(lesions_in(oblique_scan), LABELS, source, MODEL, tmp_path)
    data, header = pydicom.dcmread(path), source.headers[0]
    assert data.SOPClassUID == pydicom.uid.SegmentationStorage
    assert data.StudyInstanceUID == header.StudyInstanceUID
    assert data.PatientID == header.PatientID
    assert data.SeriesInstanceUID != header.SeriesInstanceUID
    assert data.FrameOfReferenceUID == FRAME
    (referenced,) = data.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == header.SeriesInstanceUID
    instances = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert instances == {item.SOPInstanceUID for item in source.headers}

    oedema, enhancing = data.SegmentSequence  # the necrosis has no voxel
    assert (oedema.SegmentLabel, enhancing.SegmentLabel) == ("Oedema", "Enhancing tumour")
    assert oedema.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    assert oedema.AnatomicRegionSequence[0].CodeValue == "12738006"
    assert oedema.SegmentAlgorithmType == "SEMIAUTOMATIC"  # edited
    assert enhancing.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = enhancing.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("glioma", "1.2")
    frame = data.PerFrameFunctionalGroupsSequence[0]
    assert frame.DerivationImageSequence[0].SourceImageSequence
    shown = hd.color.CIELabColor.from_dicom_value(enhancing.RecommendedDisplayCIELabValue)
    np.testing.assert_allclose(shown.to_rgb(), LABELS[2].color, atol=4)


def test_voxels_in_another_order_come_back_onto_the_series(oblique_scan, write_series, tmp_path):
    source, labelmap = write_series(oblique_scan), lesions_in(oblique_scan)
    turned = np.ascontiguousarray(labelmap.array.transpose(2, 0, 1)[::-1])
    affine = oblique_scan.affine[:, [2, 0, 1, 3]]
    affine[:3, 3] += affine[:3, 0] * (oblique_scan.shape[2] - 1)
    affine[:, 0] *= -1
    other = Scan.of(turned, affine, "as another program has it")
    path, _ = write_dicom_objects(other, LABELS, source, MODEL, tmp_path)
    np.testing.assert_array_equal(values_by_hand(path, LABELS, source.grid), labelmap.array)


def test_a_part_of_the_voxels_comes_back_onto_the_series(oblique_scan, write_series, tmp_path):
    source, labelmap = write_series(oblique_scan), lesions_in(oblique_scan)
    box = (slice(1, 9), slice(1, 9), slice(1, 8))
    part = Scan(labelmap.array[box], labelmap.grid.crop(box))
    path, _ = write_dicom_objects(part, LABELS, source, MODEL, tmp_path)
    np.testing.assert_array_equal(values_by_hand(path, LABELS, source.grid), labelmap.array)


def test_a_label_map_on_a_finer_grid_keeps_its_own_planes(straight_scan, write_series, tmp_path):
    source = write_series(straight_scan)
    grid = straight_scan.grid.respaced((1.0, 1.0, 1.5))
    fine = lesions_in(Scan(np.zeros(grid.shape, np.uint8), grid))
    path, _ = write_dicom_objects(fine, LABELS, source, MODEL, tmp_path)
    np.testing.assert_array_equal(values_by_hand(path, LABELS, grid), fine.array)
    assert pydicom.dcmread(path).FrameOfReferenceUID == FRAME


def test_a_report_has_the_measures_of_every_lesion(oblique_scan, write_series, tmp_path):
    source, labelmap = write_series(oblique_scan), lesions_in(oblique_scan)
    seg_path, path = write_dicom_objects(labelmap, LABELS, source, MODEL, tmp_path)
    report = hd.sr.srread(path)
    assert report.StudyInstanceUID == source.headers[0].StudyInstanceUID
    segmentation = pydicom.dcmread(seg_path)

    groups = report.content.get_volumetric_roi_measurement_groups()
    lesions = find_lesions(labelmap, (), LABELS, None)
    assert [group.tracking_identifier for group in groups] == ["Oedema", "Enhancing tumour"]
    voxel = labelmap.grid.voxel_ml
    for number, (group, value) in enumerate(zip(groups, (2, 4), strict=True), start=1):
        referenced = group.referenced_segment
        assert referenced.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert referenced.referenced_segment_numbers == [number]
        (volume,) = group.get_measurements()
        expected = (labelmap.array == value).sum() * voxel
        assert volume.value == pytest.approx(expected, abs=1e-4)
        assert volume.unit.value == "ml"

    others = report.content.get_image_measurement_groups()
    found = {group.tracking_identifier: group for group in others}
    assert set(found) == {
        "Lesion 1",
        "Lesion 1, Oedema",
        "Lesion 1, Enhancing tumour",
        "Lesion 2",
    }
    for lesion in lesions:
        group = found[f"Lesion {lesion.id}"]
        measures = {m.name.meaning.lower(): m for m in group.get_measurements()}
        assert measures["volume"].value == pytest.approx(lesion.volume_ml, abs=1e-4)
        assert measures["diameter"].value == pytest.approx(lesion.max_diameter_mm, abs=0.01)
        for name, ruler in (("long axis", lesion.long_axis), ("short axis", lesion.short_axis)):
            measure = measures[name]
            assert measure.value == pytest.approx(ruler.length_mm, abs=0.01)
            (line,) = measure.referenced_coordinates
            assert line.ReferencedFrameOfReferenceUID == FRAME
            ends = line.value @ LPS_TO_RAS[:3, :3]
            np.testing.assert_allclose(ends, [ruler.start, ruler.end], atol=1e-3)


def test_segments_drawn_by_people_name_no_algorithm(straight_scan, write_series, tmp_path):
    source = write_series(straight_scan)
    path, _ = write_dicom_objects(lesions_in(straight_scan), LABELS, source, Algorithm(), tmp_path)
    for segment in pydicom.dcmread(path).SegmentSequence:
        assert segment.SegmentAlgorithmType == "MANUAL"
        assert "SegmentationAlgorithmIdentificationSequence" not in segment


def test_what_cannot_be_exported_is_refused(
    straight_scan, write_series, tmp_path, refused, write_dicom
):
    source, labelmap = write_series(straight_scan), lesions_in(straight_scan)
    arguments = (LABELS, source, MODEL, tmp_path)
    empty = labelmap.with_array(np.zeros_like(labelmap.array))
    assert "empty" in refused(write_dicom_objects, empty, *arguments)
    away = labelmap.affine.copy()
    away[2, 3] += 500
    elsewhere = Scan.of(labelmap.array, away)
    assert "does not lie where" in refused(write_dicom_objects, elsewhere, *arguments)

    bare = tmp_path / "bare"
    write_dicom(bare, straight_scan, uid=generate_uid())
    assert "FrameOfReferenceUID" in refused(read_source, bare)
    (tmp_path / "notes.txt").write_text("no image at all")
    assert "is no DICOM file" in refused(read_source, tmp_path / "notes.txt")
    assert "does not exist" in refused(read_source, tmp_path / "nowhere")
