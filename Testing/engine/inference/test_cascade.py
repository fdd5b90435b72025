"""Cascades: a finer model looks again at what a coarser one found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.reading.checksums import fingerprint, write_checksums
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import CascadeSettings, FewerSettings, Preprocessing
from factorizer_engine.components import explain
from factorizer_engine.components.definition import filtered, mixers_of, without_all
from factorizer_engine.inference.cascade import around_findings, joined
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.interaction.guides import guide_of
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.models import Channel, Subset
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.training.evaluation.predictors import open_model

SETTINGS = CascadeSettings(threshold=0.9999, margin_mm=9.0, share=0.4)
SHAPE = (40, 38, 23)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coarse")
    return tiny.bundle(folder, preprocessing=Preprocessing((3.0, 3.0, 3.0)))


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    networks = [tiny.network(seed=1)]
    return tiny.bundle(tmp_path_factory.mktemp("fine"), networks)


@pytest.fixture(scope="module")
def cascade(coarse, fine, tmp_path_factory):
    return cascade_of(coarse, fine, tmp_path_factory.mktemp("cascade") / "cascade")


@pytest.fixture(scope="module")
def scans():
    return tiny.scans(SHAPE)


def cascade_of(coarse, fine, path, settings=SETTINGS):
    described = replace(fine.description, name=path.name)
    whole = replace(fine, description=described, cascade=settings, coarse=coarse)
    return save_bundle(whole, [tiny.network(seed=1)], path, dtype="float32")


def test_what_is_looked_at_again_surrounds_all_findings_and_stays_in_the_scan():
    maps = np.zeros((2, 20, 20, 20), np.float32)
    maps[0, 10, 3, 9] = 0.8
    maps[1, 12, 4, 18] = 0.6
    maps[1, 0, 0, 0] = 0.5  # not enough
    part = around_findings(maps, (1.0, 3.0, 2.0), CascadeSettings(0.55, 4.0))
    assert part == (slice(6, 17), slice(1, 7), slice(7, 20))


def test_where_nothing_is_found_the_likeliest_place_is_looked_at_again():
    maps = np.full((1, 9, 9, 9), 0.01, np.float32)
    maps[0, 4, 5, 6] = 0.02
    part = around_findings(maps, (1.0, 1.0, 1.0), CascadeSettings(0.5, 1.0))
    assert part == (slice(3, 6), slice(4, 7), slice(5, 8))


def test_logits_are_averaged_near_findings_only():
    coarse = np.full((2, 9, 9, 9), 0.2, np.float32)
    coarse[1, 4, 4, 4] = 0.7
    fine = np.full((2, 9, 9, 9), 0.8, np.float32)
    settings = CascadeSettings(threshold=0.6, margin_mm=4.0, share=0.5)
    spacing = (1.0, 2.0, 4.0)
    part = around_findings(coarse, spacing, settings)
    both = joined(coarse.copy(), fine, part, spacing, settings)
    i, j, k = np.indices((9, 9, 9)) - 4
    near = (1.0 * i) ** 2 + (2.0 * j) ** 2 + (4.0 * k) ** 2 <= 16.0
    np.testing.assert_allclose(both[0, near], 0.5, atol=1e-6)
    np.testing.assert_array_equal(both[:, ~near], coarse[:, ~near])


def test_a_region_that_is_likeliest_elsewhere_is_joined_where_it_is_likeliest_in_the_part():
    """The part is around what was found of another region, which the finer stage does not see."""
    coarse = np.full((1, 12, 12, 12), 0.01, np.float32)
    coarse[0, 0, 0, 0], coarse[0, 8, 8, 8] = 0.1, 0.05
    fine = np.full((1, 12, 12, 12), 0.8, np.float32)
    part = (slice(4, 12),) * 3
    settings = CascadeSettings(threshold=0.5, margin_mm=2.0, share=0.5)
    both = joined(coarse.copy(), fine, part, (1.0, 1.0, 1.0), settings)
    away = np.linalg.norm(np.indices((12, 12, 12)) - 8, axis=0)
    np.testing.assert_array_equal(both[0] != coarse[0], away <= 2.0)


def test_the_result_is_the_coarse_one_but_for_the_part_where_both_have_their_say(
    coarse, fine, cascade, scans
):
    first = Segmenter(coarse, "cpu").segment(scans)
    whole = Segmenter(fine, "cpu").segment(scans)
    both = Segmenter(cascade, "cpu").segment(scans)
    part = around_findings(first.probabilities, scans["FLAIR"].grid.spacing, SETTINGS)
    inside = np.zeros(SHAPE, bool)
    inside[part] = True
    assert 0.02 < inside.mean() < 1.0
    spacing = scans["FLAIR"].grid.spacing
    own = first.probabilities.copy()
    expected = joined(own, whole.probabilities, part, spacing, SETTINGS)
    near = (expected != first.probabilities).any(axis=0)

    np.testing.assert_array_equal(both.probabilities[:, ~inside], first.probabilities[:, ~inside])
    # The windows of the second look lie elsewhere than those of a whole scan, so only most agree.
    close = np.abs(both.probabilities - expected) < 0.1
    assert close[:, near].mean() > 0.7
    assert np.abs(both.probabilities - first.probabilities)[:, inside].max() > 0.1
    assert both.model.name == "cascade"
    assert set(first.timings) == set(both.timings)


def test_a_box_confines_both_stages(cascade, scans):
    scan = scans["FLAIR"]
    centre = scan.affine[:3, :3] @ (20, 19, 11) + scan.affine[:3, 3]
    box = WorldBox.of_matrix(np.diag((8.0, 8.0, 8.0)), centre)
    found = Segmenter(cascade, "cpu").segment(scans, options=RunOptions(box=box))
    part = box.part_of(scan.shape, scan.affine)
    outside = np.ones(SHAPE, bool)
    outside[part] = ~box.mask(part, scan.affine)
    assert not found.probabilities[:, outside].any()
    assert found.labelmap.array.any()


def test_its_components_are_those_of_the_finer_stage_and_it_says_so(cascade, scans):
    segmenter = Segmenter(cascade, "cpu")
    explanation = explain(segmenter, segmenter.segment(scans), count=2)
    assert len(explanation.maps) == 2
    assert "40 %" in explanation.note and "finer" in explanation.note


def test_what_a_lesion_rests_on_is_measured_in_what_both_stages_say(coarse, fine, tmp_path):
    settings = replace(SETTINGS, threshold=0.5, share=0.5)
    segmenter = Segmenter(cascade_of(coarse, fine, tmp_path / "halves", settings), "cpu")
    scans = tiny.scans((14, 15, 13))  # one window
    result = segmenter.segment(scans)
    found = explain(segmenter, result, count=16, lesion=1)
    components = [drawn.component for drawn in found.maps]
    terms = [components[place].term for place in found.reliance.components]
    filters = {
        mixer: without_all(mixer.reshape, own)
        for block, mixer in mixers_of(segmenter.networks[0]).items()
        if (own := [term for term in terms if term.block == block])
    }
    with filtered(filters):
        without = segmenter.segment(scans)
    lesion = result.labelmap.array > 0
    left = float((without.probabilities[:, lesion] >= 0.5).any(axis=0).mean())
    assert 0.5 < left < 0.99
    assert found.reliance.left == pytest.approx(left, abs=0.01)
    assert found.note.startswith("Lesion 1 rests on more than these components")


def test_clicks_correct_what_it_finds(cascade, scans):
    segmenter = Segmenter(cascade, "cpu")
    result = segmenter.segment(scans)
    correction = Correction(result, 0.5, guide_of(segmenter))
    voxel = np.argwhere(correction.labelmap.array == 0)[0]
    affine = correction.labelmap.affine
    place = tuple((affine[:3, :3] @ voxel + affine[:3, 3]).tolist())
    correction.answer(Click("WT", (place,)))
    assert correction.labelmap.array[tuple(voxel)] == 2
    assert "has not learned from clicks" in correction.note


def test_it_is_kept_in_one_folder_and_known_by_both_stages(coarse, fine, cascade, tmp_path):
    again = load_bundle(cascade.description.path)
    assert again.cascade == SETTINGS
    assert again.coarse.preprocessing == coarse.preprocessing
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", cascade.description.path)
    assert fingerprint(load_bundle(packed)) == fingerprint(again) != fingerprint(fine)
    other = cascade_of(coarse, fine, tmp_path / "other", replace(SETTINGS, share=0.6))
    assert fingerprint(other) != fingerprint(again)


def test_a_first_stage_that_was_changed_or_is_missing_is_refused(cascade, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(cascade.description.path, changed)
    (changed / "coarse" / "models" / "model.safetensors").write_bytes(b"else")
    with pytest.raises(BadModelError, match="does not match its checksum"):
        load_bundle(changed)
    shutil.rmtree(changed / "coarse")
    write_checksums(changed)
    with pytest.raises(BadModelError, match=r"changed \(coarse stage\).*incomplete"):
        load_bundle(changed)


def test_stages_must_take_and_give_the_same(fine, coarse, cascade, tmp_path):
    channels = (Channel("FLAIR"), Channel("T2"))
    other = tiny.bundle(tmp_path, channels=channels)
    with pytest.raises(BadModelError, match="different channels or regions"):
        cascade_of(other, fine, tmp_path / "cascade")
    with pytest.raises(BadModelError, match="more than two stages"):
        cascade_of(cascade, fine, tmp_path / "cascade")
    with pytest.raises(BadModelError, match="share of 0.0"):
        cascade_of(coarse, fine, tmp_path / "cascade", replace(SETTINGS, share=0.0))


@pytest.fixture
def first(tmp_path):
    """A first stage that sees enhancing and whole tumour in FLAIR, and nothing in T1."""
    whole = Subset(("FLAIR", "T1"), ("ET", "TC", "WT"))
    subsets = (whole, Subset(("FLAIR",), ("ET", "WT")), Subset(("T1",), ()))
    coarser = Preprocessing((3.0, 3.0, 3.0))
    return tiny.bundle(tmp_path / "first", preprocessing=coarser, subsets=subsets)


def test_with_fewer_scans_it_looks_for_what_both_stages_see(first, fine, scans, tmp_path):
    both = cascade_of(first, seeing(fine, "WT"), tmp_path / "both")
    given = {"FLAIR": scans["FLAIR"]}
    found = Segmenter(both, "cpu").segment(given)
    alone = Segmenter(first, "cpu").segment(given)
    assert [region.name for region in found.model.regions] == ["WT"]
    assert found.probabilities.shape == (1, *SHAPE)
    far = found.probabilities[0] == alone.probabilities[1]
    assert 0.0 < far.mean() < 1.0  # looked at again somewhere, else the first stage's

    with pytest.raises(BadModelError, match="first stage sees less"):
        cascade_of(first, seeing(fine, "TC"), tmp_path / "more")


def test_the_finer_stage_may_have_another_share_where_other_networks_answer(fine, scans, tmp_path):
    seen = (Subset(("FLAIR",), ("ET", "TC", "WT")), Subset(("T1",), ("ET", "TC", "WT")))
    first = tiny.bundle(
        tmp_path / "first",
        fewer_networks=(tiny.network(seed=2),),
        preprocessing=Preprocessing((3.0, 3.0, 3.0)),
        subsets=seen,
        fewer=FewerSettings(own=(("T1",),)),
    )
    fine = replace(fine, description=replace(fine.description, subsets=seen))
    settings = replace(SETTINGS, share=0.6, share_with_fewer=0.1)
    segmenter = Segmenter(cascade_of(first, fine, tmp_path / "cascade", settings), "cpu")

    finer = Segmenter(replace(segmenter.bundle, cascade=None, coarse=None), "cpu")
    for names, share in ((("FLAIR",), 0.1), (("T1",), 0.6), (("FLAIR", "T1"), 0.6)):
        given = {name: scans[name] for name in names}
        found = segmenter.segment(given)
        stages = (one.segment(given) for one in (segmenter.coarse, finer))
        coarse, again = (logit(stage.probabilities) for stage in stages)
        moved = logit(found.probabilities) - coarse
        apart = (moved != 0) & (np.abs(again - coarse) > 0.5)
        assert np.median(moved[apart] / (again - coarse)[apart]) == pytest.approx(share, abs=0.02)
        assert f"count {100 * share:.0f} % in the result" in explain(segmenter, found, 1).note
    again = load_bundle(segmenter.bundle.description.path)
    assert again.cascade == settings
    with pytest.raises(BadModelError, match="share of 1.5"):
        cascade_of(first, fine, tmp_path / "odd", replace(settings, share_with_fewer=1.5))


def test_a_cascade_is_measured_with_the_parts_that_its_first_stage_takes(first, fine, tmp_path):
    path = cascade_of(first, fine, tmp_path / "both").description.path
    opened = open_model(str(path), "cpu", needs={"ET": ["T1"]})
    found = opened.segmenter.bundle.description.subsets
    assert [(s.channels, s.regions) for s in found] == [
        (("FLAIR", "T1"), ("ET", "TC", "WT")),
        (("FLAIR",), ("WT",)),
    ]


def seeing(bundle, region):
    """The bundle as one that sees this region in FLAIR."""
    subsets = (Subset(("FLAIR",), (region,)),)
    return replace(bundle, description=replace(bundle.description, subsets=subsets))


def test_settings_that_make_no_sense_are_refused_in_words(cascade, tmp_path):
    copy = tmp_path / "cascade"
    shutil.copytree(cascade.description.path, copy)
    file = copy / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    metadata["factorizer"]["cascade"]["margin_mm"] = "wide"
    file.write_text(json.dumps(metadata), encoding="utf-8")
    write_checksums(copy)
    with pytest.raises(BadModelError, match=r"metadata.json is not valid at cascade.margin_mm"):
        load_bundle(copy)
