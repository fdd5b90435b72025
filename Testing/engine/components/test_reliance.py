"""What is left of a lesion when components are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.ablation import measure_in_passes
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import pose
from factorizer_engine.components.reliance import LesionVolume
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions


def test_what_is_left_without_one_component_is_that_of_a_run_without_it(
    segmenter, result, monkeypatch
):
    asked = pose(segmenter, result, None, None, 1)
    passes = [RecordedPass(asked.networks[0], probe.image) for probe in asked.probes]
    volume, fresh = (
        LesionVolume([passes], asked.probes, result.plan, asked.outputs, 0.5) for _ in range(2)
    )
    terms = asked.candidates[:6]
    by_runs = [fresh.without([term]) for term in terms]

    measure_in_passes(passes, asked.probes, terms, watch=volume.watch)
    monkeypatch.setattr(RecordedPass, "without", lambda *_: pytest.fail("was run again"))

    assert len(set(by_runs)) > 1
    assert [volume.without([term]) for term in terms] == pytest.approx(by_runs, abs=0.01)


def test_nothing_is_said_to_drive_a_lesion_beyond_what_the_network_is_shown(segmenter):
    """As the first stage of a cascade may find one, which is shown more around the head."""
    scans = tiny.scans().items()
    wide = {name: Scan.of(np.pad(scan.array, 3), scan.affine, name) for name, scan in scans}
    result = segmenter.segment(wide)
    labels = np.zeros(result.labelmap.shape, np.uint8)
    labels[0, 0, 0] = 2
    labelmap = result.labelmap.with_array(labels)
    lesions = find_lesions(labelmap, result.model.regions, result.model.labels, None)
    found = explain(
        segmenter, replace(result, labelmap=labelmap, lesions=tuple(lesions)), count=2, lesion=1
    )
    assert found.reliance is None and found.note == ""
    assert not any(any(one.component.contributions.values()) for one in found.maps)


def test_of_a_region_that_holds_nowhere_in_a_lesion_nothing_is_said_to_be_left(segmenter, result):
    """Components may speak for it there, but not enough."""
    nowhere = (result.probabilities[0] < 0.5) & (result.labelmap.array > 0)
    labels = np.zeros(result.labelmap.shape, np.uint8)
    labels[tuple(np.argwhere(nowhere)[0])] = 2
    labelmap = result.labelmap.with_array(labels)
    lesions = find_lesions(labelmap, result.model.regions, result.model.labels, None)
    alone = replace(result, labelmap=labelmap, lesions=tuple(lesions))
    found = explain(segmenter, alone, count=16, lesion=1, region="ET")
    assert any(one.component.contributions["ET"] > 0 for one in found.maps)
    assert found.reliance is None and "lesion 1" not in found.note
    assert {one.component.left for one in found.maps} == {None}
