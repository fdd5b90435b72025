"""Heatmaps as DICOM parametric maps, read back by highdicom and by pydicom alone."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest

from engine.dicom_writing import FRAME, LPS_TO_RAS
from engine.images.files.samples import LABELS
from factorizer_engine.images.files.dicom.parametric_map import (
    ComponentVolume,
    write_parametric_maps,
)
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.tasks.export_dicom import ACTIVITY, EVIDENCE

NAME = "Decoder 3, component 4"


def map_on(scan: Scan, seed: int = 0) -> Scan:
    """Signed values that no type but a floating one can hold."""
    values = np.random.default_rng(seed).normal(0, 1e-3, scan.shape).astype(np.float32)
    return scan.with_array(values)


def volume(scan: Scan, kind: str = EVIDENCE, number: int = 1) -> ComponentVolume:
    return ComponentVolume(scan, NAME, kind, number, (-0.25, 0.25))


def values_by_hand(path, grid) -> np.ndarray:
    """The values of a parametric map, by nothing but its elements and the place of its frames."""
    data = pydicom.dcmread(path)
    frames = np.frombuffer(data.FloatPixelData, "<f4").reshape(-1, data.Rows, data.Columns)
    found = np.full(grid.shape, np.nan, np.float32)
    inverse = np.linalg.inv(LPS_TO_RAS @ grid.affine)
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        corner = inverse[:3, :3] @ position + inverse[:3, 3]
        np.testing.assert_allclose(corner[:2], 0, atol=1e-3)
        found[:, :, round(corner[2])] = frame.T
    return found


@pytest.mark.parametrize("kind", ["straight_scan", "oblique_scan"])
def test_a_heatmap_reads_back_to_the_same_values(kind, request, write_series, tmp_path):
    scan = request.getfixturevalue(kind)
    source, heatmap = write_series(scan), map_on(scan)
    (path,) = write_parametric_maps([volume(heatmap)], LABELS, source, tmp_path)
    assert path.name == "evidence_1.dcm"
    np.testing.assert_array_equal(values_by_hand(path, source.grid), heatmap.array)

    read = hd.imread(path).get_volume()
    indices = np.argwhere(np.ones(read.spatial_shape, bool))
    places = indices @ read.affine[:3, :3].T + read.affine[:3, 3]
    inverse = np.linalg.inv(LPS_TO_RAS @ heatmap.affine)
    own = np.rint(places @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    np.testing.assert_array_equal(read.array[tuple(indices.T)], heatmap.array[tuple(own.T)])


def test_voxels_in_another_order_come_back_onto_the_series(oblique_scan, write_series, tmp_path):
    source, heatmap = write_series(oblique_scan), map_on(oblique_scan)
    affine = oblique_scan.affine[:, [2, 0, 1, 3]]
    affine[:3, 3] += affine[:3, 0] * (oblique_scan.shape[2] - 1)
    affine[:, 0] *= -1
    turned = Scan.of(np.ascontiguousarray(heatmap.array.transpose(2, 0, 1)[::-1]), affine)
    (path,) = write_parametric_maps([volume(turned)], LABELS, source, tmp_path)
    np.testing.assert_array_equal(values_by_hand(path, source.grid), heatmap.array)


def test_heatmaps_say_what_they_are_and_of_what(oblique_scan, write_series, tmp_path):
    source = write_series(oblique_scan)
    heatmap = map_on(oblique_scan)
    activity = heatmap.with_array(np.abs(heatmap.array))
    volumes = [volume(heatmap), volume(activity, ACTIVITY)]
    paths = write_parametric_maps(volumes, LABELS, source, tmp_path)
    assert [path.name for path in paths] == ["evidence_1.dcm", "component_1.dcm"]
    first, second = map(pydicom.dcmread, paths)
    header = source.headers[0]
    for number, data in enumerate((first, second), start=1):
        assert data.SOPClassUID == pydicom.uid.ParametricMapStorage
        assert data.FrameOfReferenceUID == FRAME
        assert (data.StudyInstanceUID, data.PatientID) == (
            header.StudyInstanceUID,
            header.PatientID,
        )
        assert data.InstanceNumber == number
        assert data.ContentDescription == NAME
        (referenced,) = data.ReferencedSeriesSequence
        assert referenced.SeriesInstanceUID == header.SeriesInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != header.SeriesInstanceUID
    shared = [data.SharedFunctionalGroupsSequence[0] for data in (first, second)]
    units = [
        group.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0] for group in shared
    ]
    assert [unit.CodeValue for unit in units] == ["{logit}/mL", "1"]
    (window,) = shared[0].FrameVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (0, 0.5)
    assert window.VOILUTFunction == "LINEAR_EXACT"  # the others want a width of at least 1


def test_a_heatmap_that_lies_elsewhere_is_refused(oblique_scan, write_series, tmp_path):
    source = write_series(oblique_scan)
    affine = oblique_scan.affine.copy()
    affine[:3, 3] += 1000
    away = Scan.of(map_on(oblique_scan).array, affine, "The evidence")
    with pytest.raises(BadInputError, match="The evidence does not lie where the DICOM series"):
        write_parametric_maps([volume(away)], LABELS, source, tmp_path)
