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
from factorizer_engine.bundles.settings import CascadeSettings, FewerSettings, Preprocessing
from factorizer_engine.components import explain
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.models import Subset
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.service.engine import Engine

EVERY = ("ET", "TC", "WT")
SUBSETS = (Subset(("FLAIR", "T1"), EVERY), Subset(("FLAIR",), EVERY), Subset(("T1",), EVERY))
ALWAYS = FewerSettings()
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
    seen = one[0] > 0
    mean = (logit(one[:, seen]) + logit(two[:, seen])) / 2
    np.testing.assert_allclose(both[:, seen], 1 / (1 + np.exp(-mean)), atol=2e-3)


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
    otherwise = replace(bundle, fewer=FewerSettings(own=(("T1",),)))
    assert len({alone, fingerprint(bundle), fingerprint(otherwise)}) == 3


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
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, fewer, problem):
    with pytest.raises(BadModelError, match=problem):
        _bundle(tmp_path, fewer)
