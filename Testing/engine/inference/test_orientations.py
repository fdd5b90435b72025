"""The segmentation lies in the patient, not in the array: one brain in all 48 axis orders."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings, NetworkSpec, Preprocessing
from factorizer_engine.components import explain
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.resampling import resample
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.runs import RunOptions

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


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_a_head_that_is_upside_down_gives_the_upright_result_voxel_by_voxel(
    segmenter, data_dir, axes
):
    scan = read_scan(data_dir / "geometry_orient48" / f"{axes}.nii.gz")
    (flipped,) = [axis for axis, code in enumerate(axes) if code in "IS"]
    turned = scan.with_array(np.ascontiguousarray(np.flip(scan.array, flipped)))
    expected = segmenter.segment({"T1": scan})
    found = segmenter.segment({"T1": turned}, options=RunOptions(upside_down=True))
    as_it_is = segmenter.segment({"T1": turned})

    np.testing.assert_array_equal(found.labelmap.affine, turned.affine)
    back = np.flip(found.probabilities, flipped + 1)
    np.testing.assert_allclose(back, expected.probabilities, atol=1e-5)
    assert np.abs(as_it_is.probabilities - found.probabilities).max() > 0.1
    drawn, upright = (explain(segmenter, result, count=2).maps for result in (found, expected))
    for one, other in zip(drawn, upright, strict=True):
        assert one.component.term == other.component.term
        np.testing.assert_array_equal(one.heatmap.affine, turned.affine)
        np.testing.assert_allclose(
            np.flip(one.heatmap.array, flipped), other.heatmap.array, atol=1e-3
        )


def test_where_a_head_is_upside_down_no_sides_are_claimed(segmenter, data_dir):
    scan = read_scan(data_dir / "geometry_orient48" / "RAS.nii.gz")
    found = segmenter.segment({"T1": scan}, options=RunOptions(upside_down=True))
    assert found.lesions and not any(lesion.place for lesion in found.lesions)
