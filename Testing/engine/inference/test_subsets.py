"""Studies that lack scans: the network sees zeros, and what cannot be seen is not looked for."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.models import Subset
from factorizer_engine.protocol.runs import RunOptions

EVERY = ("ET", "TC", "WT")
SUBSETS = (
    Subset(("FLAIR", "T1"), EVERY, {"WT": 0.9}, 7),
    Subset(("FLAIR",), EVERY),
    Subset(("T1",), ("TC",), {"TC": 0.7}, 7),
)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    bundle = tiny.bundle(tmp_path_factory.mktemp("bundle"), subsets=SUBSETS)
    return Segmenter(bundle, device="cpu")


@pytest.fixture(scope="module")
def without_flair(segmenter):
    return segmenter.segment({"T1": tiny.scans()["T1"]})


def test_the_network_sees_zeros_in_place_of_the_missing_scan(segmenter):
    scans = tiny.scans()
    found = segmenter.segment({"FLAIR": scans["FLAIR"]})
    assert not found.prepared.array[1].any() and found.prepared.array[0].any()
    empty = Scan.of(np.zeros(scans["T1"].shape, np.float32), scans["T1"].affine)
    prepared = segmenter.preprocessor.prepare([scans["FLAIR"], empty], scans["FLAIR"])
    np.testing.assert_array_equal(found.prepared.array, prepared.array)


def test_without_its_first_scan_the_result_lies_on_the_next(segmenter, without_flair):
    whole = segmenter.segment(tiny.scans())
    assert whole.note == "" and whole.model == segmenter.bundle.description
    assert without_flair.labelmap.shape == whole.labelmap.shape
    np.testing.assert_array_equal(without_flair.labelmap.affine, tiny.scans()["T1"].affine)


def test_only_what_can_be_seen_is_painted_and_listed(without_flair):
    assert without_flair.probabilities.shape[0] == 1
    assert set(np.unique(without_flair.labelmap.array)) == {0, 1}
    parts = {part.name for lesion in without_flair.lesions for part in lesion.parts}
    assert parts == {"Tumour core"}
    assert "Left out: FLAIR. Mean Dice on 7 unseen cases: tumour core 0.70" in without_flair.note
    assert "Enhancing tumour and whole tumour cannot be seen with T1" in without_flair.note


def test_the_probabilities_are_those_of_the_right_output(tmp_path, without_flair):
    same = tiny.bundle(tmp_path, subsets=(Subset(("T1",), EVERY),))
    whole = Segmenter(same, "cpu").segment({"T1": tiny.scans()["T1"]})
    np.testing.assert_allclose(whole.probabilities[1:2], without_flair.probabilities, atol=1e-6)


def test_a_box_works_without_a_scan(segmenter, without_flair):
    box = WorldBox.of_bounds((-8, 2, -6, 2, 0, 20))
    scans = {"T1": tiny.scans()["T1"]}
    found = segmenter.segment(scans, options=RunOptions(box=box))
    inside = found.probabilities > 0
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(
        found.probabilities[inside], without_flair.probabilities[inside], atol=1e-5
    )


def test_a_result_without_a_scan_is_explained_for_what_was_seen(segmenter, without_flair):
    explanation = explain(segmenter, without_flair, count=2)
    assert [list(found.component.contributions) for found in explanation.maps] == [["TC"]] * 2
    assert explanation.note.startswith("Left out: FLAIR.")
    assert explain(segmenter, without_flair, count=1, region="TC").maps
    with pytest.raises(BadInputError, match="cannot see the region 'WT' in these scans"):
        explain(segmenter, without_flair, region="WT")
    estimate = explanation.maps[0].evidence
    contribution = explanation.maps[0].component.contributions["TC"]
    assert estimate.array.sum() * estimate.grid.voxel_ml == pytest.approx(contribution, abs=0.2)


def test_a_missing_scan_cannot_be_the_reference(segmenter):
    with pytest.raises(BadInputError, match="grid of FLAIR, which is left out; choose T1"):
        segmenter.segment({"T1": tiny.scans()["T1"]}, reference="FLAIR")


def test_no_scan_at_all_is_refused(segmenter):
    with pytest.raises(BadInputError, match="No scan is given"):
        segmenter.segment({})


@pytest.mark.parametrize(
    ("subset", "problem"),
    [
        (Subset(("PET",), EVERY), "the scans PET, which are not among its channels"),
        (Subset((), EVERY), "the scans none"),
        (Subset(("T1",), ("edge",)), "tells of regions with T1 that are not among its own"),
        (SUBSETS[1], "tells twice of FLAIR"),
    ],
)
def test_a_model_that_tells_nonsense_of_its_scans_is_refused(tmp_path, subset, problem):
    with pytest.raises(BadModelError, match=problem):
        tiny.bundle(tmp_path, subsets=(*SUBSETS, subset))
