"""The segmentation lies in the patient, not in the array: one brain in all 48 axis orders."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings, NetworkSpec, Preprocessing
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.resampling import resample
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.models import Channel

WINDOW = (32, 32, 32)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    changes = {"in_channels": 1, "spatial_size": list(WINDOW)}
    bundle = tiny.bundle(
        tmp_path_factory.mktemp("orientations"),
        [tiny.network(**changes)],
        channels=(Channel("T1"),),
        network=NetworkSpec("Factorizer", tiny.arguments(**changes)),
        inference=InferenceSettings(WINDOW, overlap=0.25),
        preprocessing=Preprocessing(spacing=(6.0, 6.0, 6.0)),
    )
    return Segmenter(bundle, device="cpu")


def test_all_48_axis_orders_give_the_same_segmentation_in_world_space(segmenter, data_dir):
    files = sorted((data_dir / "geometry_orient48").glob("*.nii.gz"))
    assert len(files) == 48
    scans = {path.name.split(".")[0]: read_scan(path) for path in files}
    expected = segmenter.segment({"T1": scans["RAS"]}).labelmap
    assert all(0.02 < (expected.array == value).mean() for value in (0, 2))

    for orientation, scan in scans.items():
        found = segmenter.segment({"T1": scan}).labelmap
        assert found.orientation == scan.orientation == orientation
        in_ras = resample(found, expected.grid, order="nearest")
        assert (in_ras.array != expected.array).mean() < 1e-4, orientation
        np.testing.assert_array_equal(found.affine, scan.affine)
