"""Example slices of components."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.components import atlas
from factorizer_engine.components.definition import mixers_of, terms_of
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.models import Subset
from factorizer_engine.protocol.profiles import Profile, Profiles


@pytest.mark.parametrize("given", ["FLAIR", "T1"])
def test_slices_of_a_study_that_lacks_scans_are_those_of_the_scan_that_is_named(
    tmp_path, given, monkeypatch
):
    regions = tuple(region.name for region in tiny.REGIONS)
    bundle = tiny.bundle(tmp_path, subsets=(Subset((given,), regions),))
    segmenter = Segmenter(bundle, "cpu")
    result = segmenter.segment({given: tiny.scans()[given]})
    mixers = mixers_of(segmenter.networks[0])
    profiles = Profiles(
        ("one",),
        tuple(
            Profile(term, intensities={"FLAIR": 0.9, "T1": 0.8})
            for term in terms_of(mixers, list(mixers))
        ),
    )
    drawn, strip = [], atlas._strip
    monkeypatch.setattr(
        atlas, "_strip", lambda scan, active: drawn.append(scan) or strip(scan, active)
    )
    pictures = dict(atlas.draw_atlas(segmenter, result, profiles))
    assert set(pictures) == set(mixers)
    assert all(f" on {given}</text>" in picture for picture in pictures.values())
    assert drawn and all(np.ptp(scan) > 0 for scan in drawn)
