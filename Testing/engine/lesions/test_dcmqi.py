"""DICOM results, read back by dcmqi, through which Slicer reads them."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from engine.images.files.samples import LABELS
from engine.lesions.test_dicom import MODEL, lesions_in
from engine.lesions.test_parametric_map import map_on, volume
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom.parametric_map import write_parametric_maps
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.dicom import write_dicom_objects


def dcmqi(program: str, *arguments: str | Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / program
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def values_on(scan: Scan, other: Scan) -> np.ndarray:
    """The values of another scan at the voxels of a scan, 0 where it has none."""
    to_other = np.linalg.inv(other.affine) @ scan.affine
    voxels = np.argwhere(np.ones(scan.shape, bool))
    places = voxels @ to_other[:3, :3].T + to_other[:3, 3]
    np.testing.assert_allclose(places, np.rint(places), atol=1e-2)
    found, places = np.zeros(len(voxels), other.array.dtype), np.rint(places).astype(int)
    inside = ((places >= 0) & (places < other.shape)).all(axis=1)
    found[inside] = other.array[tuple(places[inside].T)]
    return found.reshape(scan.shape)


@pytest.fixture(params=["straight_scan", "oblique_scan"])
def scan(request) -> Scan:
    return request.getfixturevalue(request.param)


def test_segments_are_the_same_voxels(scan, write_series, tmp_path):
    labelmap = lesions_in(scan)
    path, _ = write_dicom_objects(labelmap, LABELS, write_series(scan), MODEL, tmp_path)
    options = "--outputDirectory", tmp_path, "--prefix", "read", "--outputType", "nifti"
    dcmqi("segimage2itkimage", "--inputDICOM", path, *options)
    for number, value in ((1, 2), (2, 4)):
        segment = read_scan(tmp_path / f"read-{number}.nii.gz")
        own = labelmap.array == value
        np.testing.assert_array_equal(values_on(scan, segment) != 0, own)
        assert (segment.array != 0).sum() == own.sum()
    meta = json.loads((tmp_path / "read-meta.json").read_text())
    names = [segment["SegmentLabel"] for (segment,) in meta["segmentAttributes"]]
    assert names == ["Oedema", "Enhancing tumour"]


def test_measures_are_told(scan, write_series, tmp_path):
    labelmap, out = lesions_in(scan), tmp_path / "report.json"
    _, path = write_dicom_objects(labelmap, LABELS, write_series(scan), MODEL, tmp_path)
    dcmqi("tid1500reader", "--inputDICOM", path, "--outputMetadata", out)
    found = {
        group["TrackingIdentifier"]: {
            item["quantity"]["CodeMeaning"]: float(item["value"])
            for item in group["measurementItems"]
        }
        for group in json.loads(out.read_text())["Measurements"]
    }
    for name, value in (("Oedema", 2), ("Enhancing tumour", 4)):
        volume_ml = (labelmap.array == value).sum() * labelmap.grid.voxel_ml
        assert found[name]["Volume"] == pytest.approx(volume_ml, abs=1e-4)


def test_heatmaps_are_the_same_values(scan, write_series, tmp_path):
    heatmap = map_on(scan)
    (path,) = write_parametric_maps([volume(heatmap)], LABELS, write_series(scan), tmp_path)
    options = "--outputDirectory", tmp_path, "--prefix", "map", "--outputType", "nifti"
    dcmqi("paramap2itkimage", "--inputDICOM", path, *options)
    (written,) = tmp_path.glob("map*.nii.gz")
    np.testing.assert_array_equal(values_on(scan, read_scan(written)), heatmap.array)
