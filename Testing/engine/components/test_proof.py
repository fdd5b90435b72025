"""The ranking says in advance what leaving components out does."""

from __future__ import annotations

import pytest

from factorizer_engine.components import prove


def test_leaving_components_out_in_ranked_order_lowers_the_logit_soonest(segmenter, result):
    proof = prove(segmenter, result, "WT")
    assert len(proof.ranked) == len(proof.reversed) == len(proof.shuffled) == 17
    assert proof.ranked[0] == proof.reversed[0] == pytest.approx(proof.shuffled[0])
    assert proof.ranked[-1] == pytest.approx(proof.reversed[-1], abs=1e-4)
    assert proof.gain_over_reversed > proof.gain_over_chance > 0.05
