"""Whole cases: from scans in any place to lesions on the reference scan's grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings, Preprocessing
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference import device as devices
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import (
    BadInputError,
    CancelledError,
    EngineMemoryError,
    InternalError,
)
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import RunOptions


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    return Segmenter(tiny.bundle(tmp_path_factory.mktemp("bundle")), device="cpu")


@pytest.fixture(scope="module")
def result(segmenter):
    return segmenter.segment(tiny.scans())


def reoriented(scan: Scan, axes: str) -> Scan:
    return resample(scan, scan.grid.oriented(axes))


def test_the_result_lies_on_the_reference_grid(result):
    reference = tiny.scans()["FLAIR"]
    assert result.labelmap.shape == reference.shape
    assert result.labelmap.array.dtype == np.uint8
    np.testing.assert_array_equal(result.labelmap.affine, reference.affine)
    assert result.probabilities.shape == (3, *reference.shape)
    assert result.probabilities.dtype == np.float32
    assert 0.0 <= result.probabilities.min() and result.probabilities.max() <= 1.0


def test_the_label_map_follows_from_the_probabilities(result):
    et, tc, wt = result.probabilities >= 0.5
    expected = np.select([et, tc, wt], [4, 1, 2], 0)
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(result.labelmap.array, expected)


def test_lesions_add_up_to_the_label_map(result):
    voxel_ml = abs(np.linalg.det(result.labelmap.affine[:3, :3])) / 1000
    for label in result.model.labels:
        found = sum(
            part.volume_ml
            for lesion in result.lesions
            for part in lesion.parts
            if part.label == label.value
        )
        expected = np.count_nonzero(result.labelmap.array == label.value) * voxel_ml
        assert found == pytest.approx(expected)


def test_every_stage_is_timed(result):
    assert list(result.timings) == ["preparing", "segmenting", "restoring", "painting", "measuring"]
    assert all(seconds >= 0 for seconds in result.timings.values())


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPR", "AIL", "ILA"])
def test_the_axis_order_of_the_scans_changes_nothing_in_the_world(segmenter, result, axes):
    turned = {name: reoriented(scan, axes) for name, scan in tiny.scans().items()}
    found = segmenter.segment(turned)
    back = resample(found.labelmap, result.labelmap.grid, "nearest").array
    np.testing.assert_array_equal(back, result.labelmap.array)
    for ours, theirs in zip(found.probabilities, result.probabilities, strict=True):
        volume = resample(Scan(ours, found.labelmap.grid), result.labelmap.grid).array
        np.testing.assert_allclose(volume, theirs, atol=1e-5)


def test_a_channel_on_another_grid_is_brought_onto_the_reference(segmenter, result):
    scans = tiny.scans()
    scans["T1"] = reoriented(scans["T1"], "PSL")
    np.testing.assert_allclose(
        segmenter.segment(scans).probabilities, result.probabilities, atol=1e-5
    )


def test_the_result_can_be_given_on_another_channels_grid(segmenter):
    scans = tiny.scans()
    scans["T1"] = reoriented(scans["T1"], "PSL")
    found = segmenter.segment(scans, reference="t1w")
    assert found.labelmap.shape == scans["T1"].shape
    np.testing.assert_array_equal(found.labelmap.affine, scans["T1"].affine)


def test_probabilities_are_brought_back_before_they_are_thresholded(tmp_path):
    coarse = tiny.bundle(tmp_path, preprocessing=Preprocessing(spacing=(3.0, 3.0, 3.0)))
    found = Segmenter(coarse, "cpu").segment(tiny.scans())
    assert found.prepared.array.shape[1:] < found.labelmap.shape
    et, tc, wt = found.probabilities >= 0.5
    np.testing.assert_array_equal(found.labelmap.array, np.select([et, tc, wt], [4, 1, 2], 0))
    assert ((found.probabilities > 0.45) & (found.probabilities < 0.55)).any()


def test_the_same_scans_give_the_same_result_bit_for_bit(segmenter, result):
    again = segmenter.segment(tiny.scans())
    np.testing.assert_array_equal(again.probabilities, result.probabilities)


def test_names_of_channels_may_be_aliases(segmenter, result):
    scans = tiny.scans()
    again = segmenter.segment({"flair": scans["FLAIR"], "T1w": scans["T1"]})
    np.testing.assert_array_equal(again.probabilities, result.probabilities)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_is_an_error_and_no_empty_result(tmp_path, number):
    broken = Segmenter(tiny.bundle(tmp_path), device="cpu")
    with torch.no_grad():
        broken.networks[0].head.bias[1] = float(number)
    with pytest.raises(InternalError, match="numbers that are not finite"):
        broken.segment(tiny.scans())


def test_scans_with_numbers_beyond_float32_are_refused(segmenter):
    scans = tiny.scans()
    scans["T1"] = scans["T1"].with_array(scans["T1"].array.astype(np.float64) * 1e300)
    with pytest.raises(BadInputError, match="T1 holds numbers too large"):
        segmenter.segment(scans)


def test_an_ensemble_lies_between_its_members(tmp_path):
    members = [tiny.network(0), tiny.network(1)]
    alone = [
        Segmenter(tiny.bundle(tmp_path / str(i), [member]), "cpu").segment(tiny.scans())
        for i, member in enumerate(members)
    ]
    both = Segmenter(tiny.bundle(tmp_path / "both", members), "cpu").segment(tiny.scans())
    first, second = (run.probabilities for run in alone)
    assert np.abs(first - second).max() > 0.1
    low, high = np.minimum(first, second), np.maximum(first, second)
    assert (both.probabilities >= low - 1e-5).all() and (both.probabilities <= high + 1e-5).all()


def test_mirrored_averaging_is_the_models_choice_unless_asked_for(tmp_path, segmenter, result):
    mirrored = tiny.bundle(tmp_path, inference=InferenceSettings(tiny.WINDOW, mirror_axes=(0,)))
    own = Segmenter(mirrored, "cpu")
    plain = own.segment(tiny.scans(), options=RunOptions(mirroring=False)).probabilities
    np.testing.assert_array_equal(plain, result.probabilities)
    assert np.abs(own.segment(tiny.scans()).probabilities - plain).max() > 1e-3
    asked = segmenter.segment(tiny.scans(), options=RunOptions(mirroring=True)).probabilities
    assert np.abs(asked - result.probabilities).max() > 1e-3


def test_a_missing_channel_is_named(segmenter):
    with pytest.raises(BadInputError, match="T1 scan is missing"):
        segmenter.segment({"FLAIR": tiny.scans()["FLAIR"]})


def test_an_impossible_overlap_is_refused(segmenter):
    with pytest.raises(BadInputError, match="overlap"):
        segmenter.segment(tiny.scans(), options=RunOptions(overlap=1.0))


def test_a_case_that_exceeds_the_memory_is_refused(segmenter, monkeypatch):
    monkeypatch.setattr(devices, "available_memory", lambda: 10**5)
    with pytest.raises(EngineMemoryError, match="crop the scans"):
        segmenter.segment(tiny.scans())


def test_memory_that_runs_out_in_the_network_is_reported(tmp_path, monkeypatch):
    failing = Segmenter(tiny.bundle(tmp_path), "cpu")

    def fail(x):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(failing.networks[0], "forward", fail)
    with pytest.raises(EngineMemoryError, match="Memory ran out"):
        failing.segment(tiny.scans())


def test_a_run_can_be_cancelled_on_the_way(segmenter):
    seen = []
    monitor = Monitor(lambda progress: seen.append(progress), lambda: len(seen) >= 4)
    with pytest.raises(CancelledError):
        segmenter.segment(tiny.scans(), monitor=monitor)
    assert len(seen) == 4
    assert seen[-1].stage == "segmenting"


def test_progress_never_goes_back_and_ends_at_one(segmenter):
    seen = []
    segmenter.segment(tiny.scans(), monitor=Monitor(seen.append))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["preparing", "segmenting", "restoring", "painting", "measuring"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_finds_the_same(tmp_path, result):
    found = Segmenter(tiny.bundle(tmp_path), "cuda").segment(tiny.scans())
    np.testing.assert_allclose(found.probabilities, result.probabilities, atol=1e-3)
