"""Explaining whole cases: heatmaps in the right place, ranked by what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.components import ComponentMap, explain, lesion_near
from factorizer_engine.components.definition import filtered, mixers_of, without_all
from factorizer_engine.components.ranking import default_blocks
from factorizer_engine.components.sites import lesion_sites
from factorizer_engine.components.windows import evidence_windows, legible_windows, shared_windows
from factorizer_engine.images.resampling import resample
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import Ensemble, predict_windows
from factorizer_engine.inference.windows import plan_windows
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError, CancelledError
from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice, RunOptions, Study
from factorizer_engine.protocol.tasks.components import ComponentsParams


@pytest.fixture(scope="module")
def maps(segmenter, result) -> tuple[ComponentMap, ...]:
    return explain(segmenter, result).maps


def test_heatmaps_are_nonnegative_and_lie_on_the_reference_grid(maps):
    reference = tiny.scans()["FLAIR"]
    assert len(maps) == 6
    for drawn in maps:
        assert drawn.heatmap.array.dtype == np.float32
        assert drawn.heatmap.shape == reference.shape
        np.testing.assert_array_equal(drawn.heatmap.affine, reference.affine)
        assert drawn.heatmap.array.min() >= 0 < drawn.heatmap.array.max()


def test_what_speaks_for_the_finding_comes_before_what_does_not(maps):
    components = [drawn.component for drawn in maps]
    strengths = [sum(component.contributions.values()) for component in components]
    speaks = [strength > 0 for strength in strengths]
    assert speaks == sorted(speaks, reverse=True)
    assert max(strengths) == strengths[0] > 0.05
    assert set(components[0].contributions) == {"ET", "TC", "WT"}
    assert len({component.name for component in components}) == len(maps)


def test_all_components_of_all_blocks_were_compared(segmenter, result, maps):
    everything = explain(segmenter, result, count=99).maps
    assert len(everything) == 2 + 4 + 4 + 4 + 2
    assert everything[0].component.name == maps[0].component.name


def test_evidence_adds_up_to_the_estimated_contribution_and_stays_in_the_head(segmenter, maps):
    head = tiny.scans()["FLAIR"].array != 0
    estimates, exact = [], []
    for drawn in maps:
        assert drawn.evidence.array.dtype == np.float32
        assert drawn.evidence.shape == drawn.heatmap.shape
        assert not drawn.evidence.array[~head].any()
        assert not drawn.heatmap.array[~head].any()
        low, high = drawn.component.evidence_window
        assert high > 0 and low == -high
        assert 0 <= drawn.component.level <= 1
        volume_ml = drawn.evidence.grid.voxel_ml
        estimates.append(drawn.evidence.array.sum(dtype=float) * volume_ml)
        exact.append(drawn.component.contributions[drawn.component.region])
    # To first order, and but for what lies outside the head.
    assert np.corrcoef(estimates, exact)[0, 1] > 0.7
    assert np.dot(estimates, exact) / np.dot(exact, exact) == pytest.approx(1.0, abs=0.7)


def test_one_lesion_is_explained_by_the_logit_inside_it(segmenter, result):
    result = _cut_in_two(result)
    first, second = (explain(segmenter, result, count=3, lesion=number).maps for number in (1, 2))
    assert first[0].component.contributions != second[0].component.contributions
    assert near(result, 1) == 1 and near(result, 2) == 2
    painted = {part.label for part in result.lesions[0].parts}
    own = {region.name for region in tiny.REGIONS if region.label in painted}
    assert {drawn.component.region for drawn in first} <= own
    count = len(result.lesions)
    for number in (0, count + 1):
        with pytest.raises(BadInputError, match=f"no lesion {number}; the result has numbers 1"):
            explain(segmenter, result, lesion=number)


def test_the_default_blocks_are_those_of_the_three_finest_resolutions():
    mixers = mixers_of(build_networks(load_bundle(model_folders()[-1] / "glioma-fast"))[0])
    encoder, decoder = ([n for n in mixers if n.startswith(p)] for p in ("encoder", "decoder"))
    assert len(encoder) == 5 and len(decoder) == 4
    assert default_blocks(mixers) == encoder[:3] + decoder[-3:]


def test_components_can_be_ranked_by_one_region_in_chosen_blocks(segmenter, result):
    explanation = explain(segmenter, result, count=3, blocks=["encoder.2.0"], region="WT")
    found = [drawn.component for drawn in explanation.maps]
    assert {component.term.block for component in found} == {"encoder.2.0"}


def test_the_same_scans_are_explained_in_the_same_way_bit_for_bit(segmenter, maps):
    again = explain(segmenter, segmenter.segment(tiny.scans())).maps
    for ours, theirs in zip(again, maps, strict=True):
        assert ours.component == theirs.component
        np.testing.assert_array_equal(ours.heatmap.array, theirs.heatmap.array)


@pytest.mark.parametrize("axes", ["RAS", "SPR", "AIL"])
def test_the_axis_order_of_the_scans_changes_no_heatmap_in_the_world(segmenter, maps, axes):
    turned = {name: resample(scan, scan.grid.oriented(axes)) for name, scan in tiny.scans().items()}
    found = explain(segmenter, segmenter.segment(turned)).maps
    for ours, theirs in zip(found, maps, strict=True):
        assert ours.component.name == theirs.component.name
        for region, value in theirs.component.contributions.items():
            assert ours.component.contributions[region] == pytest.approx(value, abs=1e-4)
        back = resample(ours.heatmap, theirs.heatmap.grid).array
        np.testing.assert_allclose(back, theirs.heatmap.array, atol=1e-4)


def test_a_mirrored_result_is_explained_as_it_was_made(segmenter, maps):
    mirrored = segmenter.segment(tiny.scans(), options=RunOptions(mirroring=True))
    assert mirrored.plan.mirror_axes == (0, 1, 2)
    found = explain(segmenter, mirrored, count=99).maps
    before = {plain.component.term: plain for plain in maps}
    both = [(drawn, before[term]) for drawn in found if (term := drawn.component.term) in before]
    assert len(both) == len(maps)
    for drawn, plain in both:
        contributions = plain.component.contributions
        assert drawn.component.contributions != pytest.approx(contributions, abs=1e-3)
        assert not np.allclose(drawn.heatmap.array, plain.heatmap.array, atol=1e-3)


def test_where_nothing_was_found_contributions_are_measured_where_it_is_most_probable(tmp_path):
    network = tiny.network()
    with torch.no_grad():
        network.head.bias[0] -= 50.0
    segmenter = Segmenter(tiny.bundle(tmp_path, [network]), "cpu")
    found = explain(segmenter, segmenter.segment(tiny.scans()), count=2)
    assert found.note.startswith("Not found: Enhancing tumour;")
    assert any(drawn.component.contributions["ET"] != 0 for drawn in found.maps)


def test_where_everything_was_found_there_is_nothing_to_note(segmenter, result):
    assert explain(segmenter, result, count=1).note == ""


def test_the_overlap_of_the_result_is_used(segmenter):
    sparse = segmenter.segment(tiny.scans(), options=RunOptions(overlap=0.0))
    seen = []
    explain(segmenter, sparse, count=1, monitor=Monitor(seen.append))
    drawn = sum(progress.stage == "drawing components" for progress in seen)
    plan = plan_windows(sparse.prepared.array, InferenceSettings(tiny.WINDOW, overlap=0.0))
    assert drawn == len(plan.windows)


def test_an_unknown_region_is_refused(segmenter, result):
    with pytest.raises(BadInputError, match="no region 'XX'; its regions are ET, TC, WT"):
        explain(segmenter, result, region="XX")


def test_explaining_nothing_is_refused_in_a_sentence(segmenter, result):
    run = ModelChoice("tiny"), Study({}), "folder"
    for nothing, sentence in (
        ({"blocks": ()}, "At least one block must be looked into; without a choice all of them"),
        ({"count": 0}, "At least one component must be asked for, not 0"),
    ):
        with pytest.raises(BadInputError, match=sentence):
            explain(segmenter, result, **nothing)
        with pytest.raises(BadInputError, match=sentence):  # as it comes over the protocol
            ComponentsParams(*run, **nothing)


def test_explaining_stops_between_windows_when_it_is_cancelled(segmenter, result):
    seen = []
    monitor = Monitor(seen.append, lambda: bool(seen) and seen[-1].stage == "drawing components")
    with pytest.raises(CancelledError):
        explain(segmenter, result, monitor=monitor)
    assert [progress.stage for progress in seen].count("drawing components") == 1


def test_progress_never_goes_back_and_ends_at_one(segmenter, result):
    seen = []
    explain(segmenter, result, count=1, monitor=Monitor(seen.append))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def terms_and_heatmaps(maps) -> tuple[list[Term], list[np.ndarray]]:
    return [drawn.component.term for drawn in maps], [drawn.heatmap.array for drawn in maps]


def test_the_heatmaps_of_a_block_share_a_window_that_ignores_single_voxels(maps):
    terms, heatmaps = terms_and_heatmaps(maps)
    windows = shared_windows(terms, heatmaps)
    assert legible_windows(terms, heatmaps) == [drawn.component.window for drawn in maps]
    place = (terms[0].network, terms[0].block)
    own = [i for i, term in enumerate(terms) if (term.network, term.block) == place]
    assert len({windows[i] for i in own}) == 1 < len(set(windows))
    low, high = windows[0]
    values = [heatmaps[i][heatmaps[i] > 0] for i in own]
    assert np.mean(np.concatenate(values) < low) == pytest.approx(0.5, abs=0.01)
    assert max(np.mean(v > high) for v in values) == pytest.approx(0.005, abs=0.001)
    peak = heatmaps[0].copy()
    peak[0, 0, 0] = 1e6
    assert shared_windows(terms, [peak, *heatmaps[1:]])[0][1] == pytest.approx(high, rel=0.01)


@pytest.mark.parametrize("place", [{"block": "other"}, {"network": 1}])
def test_a_more_active_block_leaves_the_window_of_another_alone(maps, place):
    terms, heatmaps = terms_and_heatmaps(maps)
    elsewhere, loud = replace(terms[0], **place), 100 * heatmaps[0]
    together = shared_windows([*terms, elsewhere], [*heatmaps, loud])
    assert together == shared_windows(terms, heatmaps) + shared_windows([elsewhere], [loud])


def test_a_weak_heatmap_beside_a_strong_one_has_its_window_over_a_power_of_two(maps):
    strong = maps[0].heatmap.array
    terms = [Term(0, "b", head, 0) for head in range(3)]
    first, second, third = legible_windows(terms, [strong, strong / 1.5, strong / 5])
    assert first == second
    assert third == (first[0] / 4, first[1] / 4)
    assert evidence_windows([strong, -strong / 5])[1] == pytest.approx(
        (-first[1] / 4, first[1] / 4)
    )
    assert evidence_windows([0 * strong]) == [(-1.0, 1.0)]


def test_the_window_of_empty_heatmaps_is_still_one():
    empty = np.zeros((2, 2, 2), np.float32)
    assert shared_windows([Term(0, "b", 0, 0)], [empty]) == [(0.0, 1.0)]
    assert shared_windows([], []) == []


def test_in_an_ensemble_components_of_all_networks_are_compared_by_the_mean_logit(tmp_path):
    networks = [tiny.network(0), tiny.network(1)]
    segmenter = Segmenter(tiny.bundle(tmp_path, networks), "cpu")
    scans = tiny.scans((14, 15, 13))  # one window
    result = segmenter.segment(scans)
    sites = lesion_sites(result, 0.5).masks
    found = [drawn.component for drawn in explain(segmenter, result, count=99).maps]
    assert {component.term.network for component in found} == {0, 1}
    assert len({component.name for component in found}) == len(found) == 2 * 16

    def mean_logits() -> np.ndarray:
        ensemble = Ensemble(segmenter.networks, out_channels=3)
        logits = predict_windows(ensemble, result.prepared.array, result.plan)
        return np.array([logits[r][sites[r]].mean() for r in range(3)])

    complete = mean_logits()
    for component in (found[0], found[-1], *found[8:10]):
        term = component.term
        mixer = mixers_of(segmenter.networks[term.network])[term.block]
        with filtered({mixer: without_all(mixer.reshape, [term])}):
            expected = complete - mean_logits()
        np.testing.assert_allclose(list(component.contributions.values()), expected, atol=1e-4)
        assert component.name.startswith(f"Network {term.network + 1}, ")


def test_the_heatmaps_of_an_ensemble_are_those_of_its_networks_alone(tmp_path, maps):
    members = [tiny.network(0), tiny.network(1)]
    both = Segmenter(tiny.bundle(tmp_path, members), "cpu")
    explanation = explain(both, both.segment(tiny.scans()), count=99)
    found = {drawn.component.name: drawn for drawn in explanation.maps}
    for alone in maps:
        np.testing.assert_allclose(
            found[f"Network 1, {alone.component.name}"].heatmap.array,
            alone.heatmap.array,
            rtol=1e-4,
            atol=1e-5,
        )


def near(result, number: int) -> int:
    """The number of the lesion that lies where the one of this number does."""
    return lesion_near(result.lesions, result.lesions[number - 1].centroid_ras)


def test_no_lesion_is_near_a_point_far_away(result):
    with pytest.raises(BadInputError, match="finds no such lesion"):
        lesion_near(result.lesions, (500.0, 0.0, 0.0))
    with pytest.raises(BadInputError, match="finds no such lesion"):
        lesion_near([], (0.0, 0.0, 0.0))


def test_a_lesion_within_a_larger_one_is_not_taken_for_it(result):
    large = replace(result.lesions[0], centroid_ras=(0.0, 0.0, 0.0), max_diameter_mm=40.0)
    assert lesion_near([large], (9.0, 0.0, 0.0)) == large.id
    with pytest.raises(BadInputError, match="explain all lesions"):
        lesion_near([large], (15.0, 0.0, 0.0))
    small = replace(large, max_diameter_mm=1.0)
    assert lesion_near([small], (1.5, 0.0, 0.0)) == small.id


def test_a_lesion_is_explained_by_the_region_that_is_most_probable_in_it(tmp_path):
    segmenter = Segmenter(tiny.bundle(tmp_path), "cpu")
    result = segmenter.segment(tiny.scans((14, 15, 13)))
    mask = result.lesion_mask(1)
    most = max(range(3), key=lambda region: result.probabilities[region][mask].mean())
    name = result.model.regions[most].name
    explained = explain(segmenter, result, count=4, lesion=1)
    assert {found.component.region for found in explained.maps} == {name}
    strengths = [found.component.contributions[name] for found in explained.maps]
    assert strengths == sorted(strengths, reverse=True)
    of_that_region = explain(segmenter, result, count=4, lesion=1, region=name)
    assert [one.component.term for one in of_that_region.maps] == [
        one.component.term for one in explained.maps
    ]


@pytest.mark.parametrize("region", [None, "WT"])
def test_a_lesion_rests_on_the_first_components_without_which_it_is_gone(tmp_path, region):
    segmenter = Segmenter(tiny.bundle(tmp_path), "cpu")
    result = segmenter.segment(tiny.scans((14, 15, 13)))  # one window
    explanation = explain(segmenter, result, count=16, lesion=1, region=region)
    components = [drawn.component for drawn in explanation.maps]
    reliance = explanation.reliance
    mask = result.lesion_mask(1)
    mixers = mixers_of(segmenter.networks[0])

    def part_left(places: Sequence[int]) -> float:
        terms = [components[place].term for place in places]
        filters = {
            mixers[block]: without_all(
                mixers[block].reshape, [term for term in terms if term.block == block]
            )
            for block in {term.block for term in terms}
        }
        ensemble = Ensemble(segmenter.networks, out_channels=3)
        with filtered(filters):
            logits = predict_windows(ensemble, result.prepared.array, result.plan)
        holds = segmenter.preprocessor.restore(logits[watched], result.prepared) >= 0
        return float(holds.any(axis=0)[mask].mean())

    watched = [n for n, own in enumerate(tiny.REGIONS) if region in (None, own.name)]
    whole = part_left([])
    assert reliance.left == pytest.approx(part_left(reliance.components) / whole, abs=0.05)
    for place in (0, len(components) - 1):
        assert components[place].left == pytest.approx(part_left([place]) / whole, abs=0.05)
    assert explanation.note.startswith("Lesion 1 rests on ")
    assert reliance.is_gone == (region == "WT")
    if reliance.is_gone:
        assert part_left(reliance.components[:-1]) / whole > 0.1
    alone = [component.contributions[component.region] for component in components]
    assert alone[reliance.components[0]] in sorted(alone)[-2:]  # by an estimate


def _cut_in_two(result):
    """The result with a slice taken out of the middle of its lesion."""
    middle = int(np.median(np.nonzero(result.labelmap.array)[0]))
    voxels = result.labelmap.array.copy()
    voxels[middle] = 0
    labelmap = replace(result.labelmap, array=voxels)
    model = result.model
    lesions = find_lesions(labelmap, model.regions, model.labels, result.probabilities)
    return replace(result, labelmap=labelmap, lesions=lesions)
