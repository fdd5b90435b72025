"""Components in turn: what says the same as one before it comes late."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.ablation import Probe, measure_contributions
from factorizer_engine.components.definition import Baseline, mixers_of, terms_of
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import pose
from factorizer_engine.components.ranking import chosen_in_turn
from factorizer_engine.components.turns import (
    contributions_without,
    take_turns,
)


def test_what_says_the_same_as_one_that_is_gone_waits_for_what_says_something_else():
    alone = np.array([5.0, 4.9, 3.0, 2.0, -1.0, -1.5, -2.0])

    def without(order):  # the second says what the first does
        return np.where(np.arange(7) == 1, -1.2, alone)

    turns = take_turns(alone, without, 7)
    assert turns.order == (0, 2, 3, 4, 1, 5, 6)
    assert turns.strengths == (5.0, 3.0, 2.0, -1.0, -1.2, -1.5, -2.0)
    assert turns.speaking([4, 3, 2]) == [2, 3]


def test_estimates_are_asked_for_before_every_five_that_follow_the_first():
    asked = []

    def without(order):
        asked.append(len(order))
        return np.arange(20.0)[::-1]

    for count, expected in ((1, []), (6, [1]), (7, [1, 6]), (14, [1, 6, 11]), (99, [1, 6, 11, 16])):
        asked.clear()
        turns = take_turns(np.arange(20.0)[::-1], without, count)
        assert asked == expected
        assert turns.order == tuple(range(20))


def test_the_strongest_stable_one_is_among_those_that_are_chosen():
    order, strength = [1, 2, 0, 3], np.array([1.0, 3.0, 2.0, -1.0])
    assert chosen_in_turn(order, 2, strength, [None] * 4) == [1, 2]
    assert chosen_in_turn(order, 2, strength, [0.9, 0.1, 0.2, 0.9]) == [1, 0]
    assert chosen_in_turn(order, 2, strength, [0.9, 0.1, 0.9, 0.9]) == [1, 2]
    assert chosen_in_turn(order, 2, strength, [0.1, 0.1, 0.2, 0.9]) == [1, 2]
    assert chosen_in_turn(order, 1, strength, [0.9, 0.1, 0.2, 0.9]) == [1]
    assert chosen_in_turn(order, 9, strength, [0.9, 0.1, 0.2, 0.9]) == order


@pytest.mark.parametrize("baseline", list(Baseline))
@pytest.mark.parametrize("rank", [1, 2])
def test_contributions_without_some_are_those_of_the_network_that_lacks_them(rank, baseline):
    torch.manual_seed(0)
    network = tiny.network(rank=rank)
    image = torch.randn(1, 2, *tiny.WINDOW)
    weights = torch.rand(3, *tiny.WINDOW) / 1000
    probe = Probe(image, weights)
    mixers = mixers_of(network)
    terms = terms_of(mixers, list(mixers))
    gone = [terms[0], terms[-1]]
    recorded = RecordedPass(network, image, left_out=gone, baseline=baseline)
    expected = RecordedPass(network, image).without(gone, baseline)
    torch.testing.assert_close(recorded.logits, expected, atol=1e-4, rtol=1e-4)
    found, logits = contributions_without(network, [probe], terms, gone, [0, 2], baseline)
    torch.testing.assert_close(logits, [expected], atol=1e-4, rtol=1e-4)
    plain = RecordedPass(network, image)
    whole = probe.read(expected)[0, [0, 2]].sum()
    last = [term for term in terms if term.block == terms[-1].block and term not in gone]
    exact = [
        float(whole - probe.read(plain.without([*gone, term], baseline))[0, [0, 2]].sum())
        for term in last
    ]
    estimates = [found[terms.index(term)] for term in last]
    np.testing.assert_allclose(estimates, exact, atol=0.2 * np.abs(exact).max())


def test_the_first_component_is_measured_where_those_that_follow_it_are_estimated(
    segmenter, result, monkeypatch
):
    runs, behind = [], RecordedPass.behind
    monkeypatch.setattr(RecordedPass, "behind", lambda *of: runs.append(of) or behind(*of))
    found = explain(segmenter, result, count=3).maps
    asked = pose(segmenter, result, None, None, None)
    assert len(runs) == len(asked.probes) * (len(found) - 1)
    terms = [one.component.term for one in found]
    exact = measure_contributions(asked.networks[0], asked.probes, terms)[:, result.outputs]
    told = [list(one.component.contributions.values()) for one in found]
    np.testing.assert_allclose(told, exact, atol=1e-4)
