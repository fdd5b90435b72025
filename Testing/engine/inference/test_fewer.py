"""Models with networks that learned from studies which lack scans, and answer for them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.reading.checksums import fingerprint, write_checksums
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import (
    CascadeSettings,
    FewerSettings,
    NetworkSpec,
    Preprocessing,
    SecondLook,
)
from factorizer_engine.components import explain
from factorizer_engine.components.ablation import measure_contributions, place_probes
from factorizer_engine.components.sites import lesion_sites
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.models import Channel, Subset
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.service.engine import Engine

EVERY = ("ET", "TC", "WT")
SUBSETS = (Subset(("FLAIR", "T1"), EVERY), Subset(("FLAIR",), EVERY), Subset(("T1",), EVERY))
ALWAYS = FewerSettings()
THREE = ("FLAIR", "T1", "T2")
TWICE = FewerSettings(again=(SecondLook(("FLAIR", "T1"), ("FLAIR",)),))
USUAL, OTHER = tiny.network(seed=0), tiny.network(seed=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return _bundle(tmp_path_factory.mktemp("fewer"))


@pytest.fixture(scope="module")
def segmenter(bundle):
    return Segmenter(bundle, "cpu")


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return Segmenter(tiny.bundle(tmp_path_factory.mktemp("usual"), [USUAL], subsets=SUBSETS))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Segmenter(tiny.bundle(tmp_path_factory.mktemp("other"), [OTHER], subsets=SUBSETS))


def _bundle(folder, fewer=ALWAYS, **changes):
    return tiny.bundle(folder, [USUAL], (OTHER,), subsets=SUBSETS, fewer=fewer, **changes)


def _maps(segmenter, *names):
    scans = {
        name: scan for name, scan in tiny.scans().items() if name in (names or ("FLAIR", "T1"))
    }
    return segmenter.segment(scans).probabilities


def test_with_all_scans_nothing_changes(segmenter, usual):
    assert segmenter.answering(("FLAIR", "T1")) is segmenter
    np.testing.assert_array_equal(_maps(segmenter), _maps(usual))


def test_with_fewer_scans_the_other_networks_answer(segmenter, usual, other):
    found = _maps(segmenter, "FLAIR")
    np.testing.assert_array_equal(found, _maps(other, "FLAIR"))
    assert np.abs(found - _maps(usual, "FLAIR")).max() > 0.1


def test_the_model_may_say_that_its_own_networks_answer_or_all_together(tmp_path, usual, other):
    bundle = _bundle(tmp_path, FewerSettings(own=(("FLAIR",),), both=(("T1",),)))
    assert load_bundle(bundle.description.path).fewer == bundle.fewer
    segmenter = Segmenter(bundle, "cpu")
    np.testing.assert_array_equal(_maps(segmenter, "FLAIR"), _maps(usual, "FLAIR"))
    together = segmenter.answering(["t1w"])  # an alias
    assert len(together.networks) == 2 and together is segmenter.answering(["T1"])
    one, two, both = (_maps(s, "T1") for s in (usual, other, segmenter))
    _assert_mean(both, one, two)


def _assert_mean(both, one, two):
    seen = one[0] > 0
    mean = (logit(one[:, seen]) + logit(two[:, seen])) / 2
    np.testing.assert_allclose(both[:, seen], 1 / (1 + np.exp(-mean)), atol=2e-3)


@pytest.fixture(scope="module")
def looking_twice(tmp_path_factory):
    """Of a model of three scans, whose networks for fewer look at FLAIR with T1 and at FLAIR."""
    networks = [tiny.network(seed=seed, in_channels=3) for seed in (0, 1)]
    bundle = tiny.bundle(
        tmp_path_factory.mktemp("twice"),
        networks[:1],
        (networks[1],),
        channels=tuple(map(Channel, THREE)),
        subsets=tuple(Subset(part, EVERY) for part in (THREE, THREE[:2], THREE[:1])),
        fewer=TWICE,
        network=NetworkSpec("Factorizer", tiny.arguments(in_channels=3)),
    )
    return Segmenter(load_bundle(bundle.description.path))


def test_networks_may_look_twice_the_second_time_at_fewer_scans(looking_twice):
    assert looking_twice.bundle.fewer == TWICE
    once = looking_twice.for_fewer()
    both, one, two = (
        _maps(segmenter, *names)
        for segmenter, names in ((looking_twice, THREE[:2]), (once, THREE[:2]), (once, THREE[:1]))
    )
    assert np.abs(one - two).max() > 0.1
    _assert_mean(both, one, two)
    np.testing.assert_array_equal(_maps(looking_twice, "FLAIR"), two)


def test_a_component_is_left_out_of_both_looks_at_once(looking_twice):
    result = looking_twice.segment(tiny.scans())
    found = explain(looking_twice, result, count=3).maps
    names = [one.component.name for one in found]
    assert len({*names}) == 3 and not any("Network" in name for name in names)
    network, looks = looking_twice.answering(THREE[:2]).networks[0], ((), (1, 2))
    assert result.plan.looks == looks
    one = found[0].component
    region = [r.name for r in result.model.regions].index(one.region)
    masks = lesion_sites(result, looking_twice.bundle.inference.threshold).masks
    changes = [
        measure_contributions(
            network,
            place_probes(replace(result.plan, looks=(hidden,)), result.prepared.array, masks),
            [one.term],
        )[0, region]
        for hidden in looks
    ]
    assert one.contributions[one.region] == pytest.approx(np.mean(changes), abs=1e-4)
    assert abs(changes[0] - changes[1]) > 1e-3


def test_components_are_those_of_the_networks_that_answered(segmenter, other):
    scans = {"FLAIR": tiny.scans()["FLAIR"]}
    result = segmenter.segment(scans)
    assert segmenter.that_gave(result) is segmenter.answering(scans) is not segmenter
    found = explain(segmenter, result, count=1).maps[0].component
    wanted = explain(other, other.segment(scans), count=1).maps[0].component
    assert found.contributions == wanted.contributions


def test_the_engine_gives_the_segmenter_that_answers_and_keeps_both_warm(bundle):
    engine, choice = Engine(), ModelChoice(str(bundle.description.path), device="cpu")
    whole = engine.ready(choice, Monitor(), ("FLAIR", "T1"))
    part = engine.ready(choice, Monitor(), ("T1",))
    assert whole is engine.ready(choice, Monitor()) and whole is not part
    assert part is engine.ready(choice, Monitor(), ("T1",))


def test_the_first_stage_of_a_cascade_answers_with_its_networks_for_fewer_scans(
    tmp_path, bundle, usual
):
    fine = tiny.bundle(tmp_path, preprocessing=Preprocessing((1.5, 1.5, 1.5)), subsets=SUBSETS)
    described = replace(fine.description, name="cascade")
    settings = CascadeSettings(threshold=0.99, margin_mm=0.0)
    maps = []
    for coarse in (bundle, usual.bundle):
        whole = replace(fine, description=described, cascade=settings, coarse=coarse)
        path = tmp_path / f"of-{coarse.description.path.parent.name}" / "cascade"
        maps.append(_maps(Segmenter(save_bundle(whole, [USUAL], path)), "T1"))
    assert np.abs(maps[0] - maps[1]).max() > 0.1


def test_the_fingerprint_tells_of_them(bundle, usual):
    alone = fingerprint(usual.bundle)
    own, again = FewerSettings(own=(("T1",),)), TWICE
    others = [fingerprint(replace(bundle, fewer=fewer)) for fewer in (ALWAYS, own, again)]
    assert len({alone, *others}) == 4


def test_a_model_without_the_networks_that_it_speaks_of_is_refused(bundle, tmp_path):
    root = shutil.copytree(bundle.description.path, tmp_path / "tiny")
    shutil.rmtree(root / "models" / "fewer")
    write_checksums(root)
    with pytest.raises(BadModelError, match="lacks the networks for studies that lack scans"):
        load_bundle(root)


@pytest.mark.parametrize(
    ("fewer", "problem"),
    [
        (FewerSettings(own=(("T2",),)), "which are no part of its channels"),
        (FewerSettings(both=(("FLAIR", "T1"),)), "which are no part of its channels"),
        (FewerSettings(both=((),)), "with no scans"),
        (FewerSettings(own=(("T1",),), both=(("T1",),)), "says twice who answers with T1"),
        (FewerSettings(again=(SecondLook(("FLAIR", "T1"), ("T1",)),)), "no part of its channels"),
        (FewerSettings(again=(SecondLook(("T1",), ("T1",)),)), "looks again at T1, no part of"),
        (FewerSettings(again=(SecondLook(("T1",), ()),)), "looks again at no scans"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, fewer, problem):
    with pytest.raises(BadModelError, match=problem):
        _bundle(tmp_path, fewer)
