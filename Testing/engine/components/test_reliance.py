"""What is left of a lesion when components are left out."""

from __future__ import annotations

import pytest

from factorizer_engine.components.ablation import measure_in_passes
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import pose
from factorizer_engine.components.reliance import LesionVolume


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
