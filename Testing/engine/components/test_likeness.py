"""Lesions are compared with those of the cases over which a model was described."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.profiles import keep_profiles
from factorizer_engine.components import compared, explain
from factorizer_engine.components.definition import mixers_of, terms_of
from factorizer_engine.components.estimates import estimate_all
from factorizer_engine.components.likeness import tells_false_alarms
from factorizer_engine.components.question import pose
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.segment import SegmentParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.engine import Engine
from factorizer_engine.service.jobs.segment import run


@pytest.fixture(scope="module")
def two_lesions(result):
    """The result with two lesions of whole tumour alone: what is found, and a cube beside it."""
    labels = np.zeros(result.labelmap.shape, np.uint8)
    labels[4:9, 4:9, 4:9], labels[12:16, 12:16, 12:16] = 2, 2
    labelmap = Scan(labels, result.labelmap.grid)
    lesions = find_lesions(labelmap, result.model.regions, result.model.labels, None, labelmap)
    assert len(lesions) == 2
    return replace(result, labelmap=labelmap, lesions=tuple(lesions))


def described(segmenter: Segmenter, contributions, **changes) -> Segmenter:
    """The model with a profile of every component, which says what it contributed to WT."""
    terms = terms_of(mixers_of(segmenter.networks[0]), list(mixers_of(segmenter.networks[0])))
    profiles = Profiles(
        ("first",),
        tuple(
            Profile(term, contributions={"WT": float(value)}, agreement={"WT": 1.0})
            for term, value in zip(terms, contributions, strict=True)
        ),
    )
    other = object.__new__(Segmenter)
    vars(other).update(vars(segmenter))
    other.bundle = replace(segmenter.bundle, profiles=profiles, **changes)
    return other


def contributions_to(segmenter, result, lesion: int) -> np.ndarray:
    asked = pose(segmenter, result, None, "WT", lesion)
    return estimate_all(asked, [[]], Monitor()).contributions[:, 0]


def test_a_lesion_for_which_the_same_speaks_as_on_described_cases_is_like_them(
    segmenter, two_lesions
):
    usual = described(segmenter, 3 * contributions_to(segmenter, two_lesions, 1))
    first, _ = compared(usual, two_lesions)
    assert first.likeness == pytest.approx(1.0, abs=1e-4)
    assert not first.is_doubtful
    assert replace(first, likeness=None) == two_lesions.lesions[0]


def test_a_lesion_that_rests_on_what_spoke_for_something_else_is_marked(segmenter, two_lesions):
    own = contributions_to(segmenter, two_lesions, 1)
    strongest = int(own.argmax())
    usual = np.where(np.arange(len(own)) == strongest, -1.0, np.maximum(own, 0) / 10)
    found = explain(described(segmenter, usual), two_lesions, lesion=1, count=3)
    marked, other = found.lesions
    assert marked.is_doubtful and marked.likeness < 0
    assert other.likeness is None
    assert "Lesion 1 may be a false alarm" in found.note and "whole tumour" in found.note
    leading = max(found.maps, key=lambda m: m.component.contributions["WT"]).component
    assert f"{leading.name} speaks for it, but not for them" in found.note


def test_what_is_said_of_a_lesion_does_not_depend_on_how_it_was_asked(segmenter, two_lesions):
    usual = described(segmenter, contributions_to(segmenter, two_lesions, 2))
    each = [explain(usual, two_lesions, lesion=n, count=1).lesions[n - 1] for n in (1, 2)]
    together = compared(usual, two_lesions)
    assert [lesion.likeness for lesion in together] == pytest.approx(
        [lesion.likeness for lesion in each], abs=1e-5
    )
    assert explain(usual, two_lesions, count=1).lesions == together
    assert explain(usual, two_lesions, count=1, region="ET").lesions == together


def test_a_segmentation_is_not_given_up_where_memory_does_not_suffice_to_compare_it(
    segmenter, tmp_path, monkeypatch
):
    bundle = tiny.bundle(tmp_path)
    terms = terms_of(mixers_of(segmenter.networks[0]), list(mixers_of(segmenter.networks[0])))
    keep_profiles(bundle, Profiles(("a",), tuple(Profile(term) for term in terms)), "")

    def run_out(*arguments):
        raise MemoryError

    monkeypatch.setattr("factorizer_engine.components.likeness.compared", run_out)
    files = {
        name: ScanFile.save(scan.array, scan.affine, tmp_path / f"{name}.npy", name)
        for name, scan in tiny.scans().items()
    }
    choice = ModelChoice(str(bundle.description.path), "cpu")
    params = SegmentParams(choice, Study(files), str(tmp_path / "out"), likeness=True)
    found = run(Engine(), params, Monitor())
    assert found.lesions and all(lesion.likeness is None for lesion in found.lesions)
    assert "False alarms were not looked for. Memory ran out" in found.note


def test_nor_does_it_where_there_is_only_one(segmenter, two_lesions):
    """But for what was found beside it, as small pieces that are dropped."""
    labels = two_lesions.labelmap.array.copy()
    labels[12:] = 0
    single = replace(
        two_lesions,
        labelmap=two_lesions.labelmap.with_array(labels),
        lesions=two_lesions.lesions[:1],
    )
    usual = described(segmenter, contributions_to(segmenter, single, 1))
    (lesion,) = compared(usual, single)
    assert lesion.likeness == pytest.approx(1.0, abs=1e-5)
    for region in (None, "WT", "ET"):
        (explained,) = explain(usual, single, count=1, region=region).lesions
        assert explained.likeness == pytest.approx(lesion.likeness, abs=0.01)


def test_nothing_is_said_where_it_is_not_known(segmenter, two_lesions):
    assert compared(segmenter, two_lesions) == two_lesions.lesions
    usual = described(segmenter, contributions_to(segmenter, two_lesions, 1))
    some = explain(usual, two_lesions, lesion=1, count=1, blocks=["decoder.1.0"])
    assert some.lesions == two_lesions.lesions
    another = explain(usual, two_lesions, lesion=1, count=1, region="ET")
    assert another.lesions == two_lesions.lesions
    silent = described(segmenter, np.zeros(16))
    assert compared(silent, two_lesions) == two_lesions.lesions
    useless = replace(usual.bundle.profiles, tells_false_alarms=False)
    usual.bundle = replace(usual.bundle, profiles=useless)
    assert compared(usual, two_lesions) == two_lesions.lesions
    assert explain(usual, two_lesions, lesion=1, count=1).lesions == two_lesions.lesions


def test_of_some_of_the_networks_that_were_described_nothing_is_told(segmenter, two_lesions):
    """As where fewer members of an ensemble are asked for: their part alone is another figure."""
    usual = described(segmenter, contributions_to(segmenter, two_lesions, 1))
    profiles = usual.bundle.profiles
    ensemble = profiles.followed_by(profiles, networks=1)
    usual.bundle = replace(usual.bundle, profiles=ensemble)
    assert not tells_false_alarms(usual, two_lesions)
    assert compared(usual, two_lesions) == two_lesions.lesions
    assert explain(usual, two_lesions, lesion=1, count=1).lesions == two_lesions.lesions
