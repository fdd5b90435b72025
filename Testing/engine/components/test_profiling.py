"""Profiles: components respond to what they were made to respond to, in every case alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.moments import Moments
from factorizer_engine.components.profiling import CaseProfile, combine, profile_case
from factorizer_engine.components.surroundings import DEPTH, FLUID, SIDE, surroundings
from factorizer_engine.components.wording import meaning, meaning_with_fewer
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.components import STABLE, Term
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.models import Subset
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor


def truth_of(result) -> dict[str, Scan]:
    return {
        region.name: Scan((found > 0.6).astype(np.float32), result.labelmap.grid)
        for region, found in zip(result.model.regions, result.probabilities, strict=True)
    }


def profile(segmenter, case: str, seed: int) -> CaseProfile:
    result = segmenter.segment(tiny.scans(seed=seed))
    return profile_case(segmenter, result, case, truth_of(result))


@pytest.fixture(scope="module")
def cases(segmenter) -> list[CaseProfile]:
    return [profile(segmenter, name, seed) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def profiles(cases, segmenter) -> Profiles:
    return combine(cases, segmenter.bundle.description)


def test_moments_of_parts_are_the_correlations_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    maps, targets = torch.rand(3, 500, generator=generator), torch.rand(2, 500, generator=generator)
    maps[1] += 5 * targets[0]
    targets[1] = (targets[1] > 0.8).float()
    moments = Moments(3, 2)
    for part in (slice(0, 100), slice(100, 500)):
        moments.add(maps[:, part], targets[:, part], torch.ones(maps[:, part].shape[1]))
    expected = np.corrcoef(np.concatenate([maps, targets]))[:3, 3:]
    np.testing.assert_allclose(moments.correlations(), expected, atol=1e-6)
    inside = targets[1] > 0
    above = (maps[:, inside].mean(1) - maps.mean(1)) / maps.std(1, correction=0)
    np.testing.assert_allclose(moments.elevations()[:, 1], above, atol=1e-5)


def test_voxels_without_weight_and_maps_that_do_not_vary_say_nothing():
    moments = Moments(1, 2)
    noise = torch.rand(1, 50)
    moments.add(torch.ones(1, 50), torch.cat([noise, 0 * noise]), torch.ones(50))
    moments.add(noise, noise.repeat(2, 1), torch.zeros(50))
    assert moments.correlations().tolist() == [[0.0, 0.0]]
    assert moments.elevations()[0, 1].isnan()


def test_places_are_measured_in_the_world_whatever_way_voxels_run(result):
    found = surroundings(result.prepared, result.model, truth_of(result))
    head = found.head > 0
    assert FLUID not in found.places  # there is no T2
    middle = tuple(n // 2 for n in head.shape)
    assert found.places[DEPTH][middle] > found.places[DEPTH][head].mean()
    side = found.places[SIDE]
    assert side[middle] < 2 < side[head].max()
    assert side[:, middle[1], middle[2]].argmin() == pytest.approx(middle[0], abs=1)
    assert not found.edges["T1"][~head].any()


def test_classes_are_what_is_painted_last(result):
    shape = result.labelmap.shape
    whole, inner = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    whole[4:16, 4:16, 4:16], inner[6:10, 6:10, 6:10] = 1, 1
    grid = result.labelmap.grid
    masks = {"WT": Scan(whole, grid), "TC": Scan(inner, grid), "ET": Scan(inner, grid)}
    found = surroundings(result.prepared, result.model, masks).regions
    assert set(found) == {"WT", "TC", "ET", "Core", "Oedema"}
    assert not found["Core"].any()
    np.testing.assert_allclose(found["Oedema"] + found["ET"], found["WT"], atol=1e-6)


def test_a_component_made_of_one_channel_responds_to_it(tmp_path):
    network = tiny.network()
    with torch.no_grad():  # nothing of the first channel gets beyond the stem
        for weight in network.stem.parameters():
            weight[:, 0] = 0.0
    segmenter = Segmenter(tiny.bundle(tmp_path, [network]), "cpu")
    scans = tiny.scans()
    axes = np.meshgrid(*(np.linspace(0, 1, n) for n in scans["T1"].shape), indexing="ij")
    lump = np.exp(-8 * sum((axis - 0.4) ** 2 for axis in axes))
    t1 = np.where(scans["T1"].array > 0, 40 + 60 * lump, 0).astype(np.float32)
    result = segmenter.segment({**scans, "T1": replace(scans["T1"], array=t1)})
    found = profile_case(segmenter, result, "made", truth_of(result))
    first = [row for row, term in enumerate(found.terms) if term.block == "encoder.0.0"]
    intensities = found.responses["intensities"]
    assert np.abs(intensities["T1"][first]).max() > 0.5
    assert np.abs(intensities["FLAIR"][first]).max() < 0.3


def test_a_profile_is_the_mean_over_cases(cases, profiles):
    assert profiles.cases == ("one", "two")
    assert [p.term for p in profiles.components] == list(cases[0].terms)
    row, found = 5, profiles.components[5]
    expected = np.mean([case.contributions["WT"][row] for case in cases])
    assert found.contributions["WT"] == pytest.approx(expected, abs=1e-3)
    assert set(found.agreement.values()) <= {0.5, 1.0}
    kept = [np.mean([case[row] for case in kind]) for kind in _stabilities(cases)]
    assert found.stability == pytest.approx(min(kept), abs=1e-3)
    assert found.meaning


def _stabilities(cases):
    return [case.activity for case in cases], [case.evidence for case in cases]


def test_regions_that_a_case_lacks_are_left_out_of_the_mean(segmenter, result, cases):
    truth = truth_of(result)
    truth["ET"] = replace(truth["ET"], array=np.zeros_like(truth["ET"].array))
    without = profile_case(segmenter, result, "three", truth)
    assert np.isnan(without.contributions["ET"]).all()
    assert np.isnan(without.responses["inside"]["ET"]).all()
    both = combine([without, cases[1]], segmenter.bundle.description).components[0]
    only = combine([cases[1]], segmenter.bundle.description).components[0]
    assert both.contributions["ET"] == only.contributions["ET"]
    alone = combine([without], segmenter.bundle.description).components[0]
    assert "ET" not in alone.contributions and "ET" not in alone.inside


def test_what_is_measured_of_a_scan_is_of_the_cases_that_have_it(tmp_path, cases):
    every = tuple(region.name for region in tiny.REGIONS)
    subsets = (Subset(("FLAIR", "T1"), every), Subset(("T1",), ("WT",)))
    bundle = tiny.bundle(tmp_path, [tiny.network()], subsets=subsets)
    partial = Segmenter(bundle, "cpu")
    result = partial.segment({"T1": tiny.scans(seed=1)["T1"]})
    without = profile_case(partial, result, "without FLAIR", truth_of(result))
    assert set(without.responses["intensities"]) == {"T1"}
    assert np.abs(without.responses["intensities"]["T1"]).max() > 0.1
    both, one = (combine(these, bundle.description) for these in ([without, cases[0]], cases[:1]))
    for mean, single in zip(both.components, one.components, strict=True):
        assert mean.intensities["FLAIR"] == single.intensities["FLAIR"]
        assert mean.contributions["ET"] == single.contributions["ET"]
    wholes = [case.contributions["WT"][3] for case in (without, cases[0])]
    assert both.components[3].contributions["WT"] == pytest.approx(np.mean(wholes), abs=1e-3)


def test_nothing_is_said_of_scans_and_regions_that_a_study_lacks(segmenter):
    whole = segmenter.bundle.description
    part = replace(whole, channels=whole.channels[1:], regions=whole.regions[2:])
    profile = Profile(TERM, "kept", {"FLAIR": 0.9, "T1": -0.5}, **SPEAKS)
    assert meaning_with_fewer(profile, whole, whole) == "kept"
    assert meaning_with_fewer(profile, whole, part) == "Dark on T1; speaks for whole tumour"
    assert meaning_with_fewer(replace(profile, meaning=""), whole, part) == ""


def test_without_a_shift_everything_stays(segmenter, result, monkeypatch):
    monkeypatch.setattr("factorizer_engine.components.stability.SHIFT", 0)
    monkeypatch.setattr("factorizer_engine.components.profiling.SHIFT", 0)
    found = profile_case(segmenter, result, "same", truth_of(result))
    for kept in (found.activity, found.evidence):
        assert np.all((kept == 0) | (kept > 0.9999))


def test_describing_stops_when_it_is_cancelled(segmenter, result):
    with pytest.raises(CancelledError):
        monitor = Monitor(is_cancelled=lambda: True)
        profile_case(segmenter, result, "one", truth_of(result), monitor)


TERM = Term(0, "b", 0, 0)
SPEAKS = {"contributions": {"ET": 0.5, "WT": 0.1}, "agreement": {"ET": 1.0, "WT": 1.0}}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, "No clear response; says little by itself"),
        (
            {
                "intensities": {"FLAIR": 0.1, "T1": 0.5},
                "edges": {"FLAIR": 0.0, "T1": 0.4},
                "inside": {"ET": 2.0, "Oedema": 1.5},
                **SPEAKS,
            },
            "Bright edges on T1, marks enhancing tumour; "
            "speaks for enhancing tumour and whole tumour",
        ),
        (
            {"intensities": {"FLAIR": -0.5, "T1": -0.48}, "inside": {"Oedema": -3.0}},
            "Dark on FLAIR and T1, spares oedema; says little by itself",
        ),
        (
            {"inside": {"ET": -2.0, "TC": 3.0, "WT": 2.6, "Oedema": 2.0}},
            "Marks whole tumour, spares enhancing tumour; says little by itself",
        ),
        ({"places": {"depth": -0.6}, "level": 1.0}, "The surface of the head; says little"),
        (
            {"level": 0.9, **SPEAKS, "contributions": {"ET": -0.5, "WT": 0.1}},
            "No clear response; speaks against enhancing tumour; a level, not a place",
        ),
        ({**SPEAKS, "agreement": {"ET": 0.5, "WT": 0.6}}, "No clear response; says little"),
    ],
)
def test_sentences_follow_from_the_figures(segmenter, figures, expected):
    assert meaning(Profile(TERM, **figures), segmenter.bundle.description).startswith(expected)


def test_components_are_shown_with_their_meaning_and_stable_ones_lead(segmenter, result):
    plain = [drawn.component for drawn in explain(segmenter, result).maps]
    assert all(c.stability is None and c.is_stable and not c.meaning for c in plain)
    shaky = plain[0].term
    described = tuple(
        Profile(
            component.term,
            f"meaning of {component.name}",
            stability=STABLE - 0.1 if component.term == shaky else STABLE + 0.1,
        )
        for component in plain[:-1]
    )
    told = Segmenter(
        replace(segmenter.bundle, profiles=Profiles(("one",), described)), device="cpu"
    )
    found = [drawn.component for drawn in explain(told, result).maps]
    speaking = sum(sum(c.contributions.values()) > 0 for c in plain)
    order = [c.term for c in plain]
    expected = [*order[1:speaking], shaky, *order[speaking:]]
    assert [c.term for c in found] == expected
    moved = next(c for c in found if c.term == shaky)
    assert moved.meaning == f"meaning of {plain[0].name}" and not moved.is_stable
