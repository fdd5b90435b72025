"""Components in turn: what says the same as one before it comes late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, mixers_of, terms_of
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.ranking import leading_pair
from factorizer_engine.components.turns import (
    contributions_without,
    logit_without,
    take_turns,
)


def none(order) -> float:
    return 0.0


def test_what_says_the_same_as_one_that_is_gone_waits_for_what_says_something_else():
    alone = np.array([5.0, 4.0, 3.9, 2.0, 1.0])

    def without(order):  # the third says what the second does
        return (np.where(np.arange(5) == 2, 0.1, alone) if 1 in order else alone)[None]

    turns = take_turns(alone, [0, 1], without, none, 5)
    assert turns.order == (0, 1, 3, 4, 2)
    assert turns.strengths == (5.0, 4.0, 2.0, 1.0, 0.1)
    assert replace(turns, strengths=(5.0, 4.0, 2.0, -1.0, 0.1)).speaking == [0, 1, 3, 2]


def test_estimates_are_asked_for_before_every_four_that_follow_the_first_two():
    asked = []

    def without(order):
        asked.append(len(order))
        return np.arange(20.0)[None, ::-1]

    for count, expected in ((2, []), (6, [2]), (14, [2, 6, 10]), (99, [2, 6, 10, 14, 18])):
        asked.clear()
        turns = take_turns(np.arange(20.0)[::-1], [0, 1], without, none, count)
        assert asked == expected
        assert turns.order == tuple(range(20))
        assert len(turns.first(3).order) == len(turns.first(3).strengths) == 3


def test_the_strongest_and_the_strongest_stable_one_come_first():
    strength = np.array([1.0, 3.0, 2.0, -1.0])
    assert leading_pair(strength, [None] * 4) == [1, 2]
    assert leading_pair(strength, [0.9, 0.1, 0.2, 0.9]) == [1, 0]
    assert leading_pair(strength, [0.1, 0.1, 0.2, 0.9]) == [1, 2]
    assert leading_pair(strength[:1], [0.1]) == [0]


def test_of_two_proposals_that_is_taken_which_lowers_the_logit_more():
    proposals = np.stack([np.arange(20.0)[::-1], np.arange(20.0)])
    measured = []

    def measure(order):
        measured.append(tuple(order))
        return -float(sum(order))  # the last ones speak most

    turns = take_turns(proposals[0], [0, 1], lambda order: proposals, measure, 6)
    assert measured[:2] == [(0, 1, 2, 3, 4, 5), (0, 1, 19, 18, 17, 16)]
    assert turns.order[:8] == (0, 1, 19, 18, 17, 16, 15, 14)
    measured.clear()
    take_turns(proposals[0], [0, 1], lambda order: proposals[[0, 0]], measure, 6)
    assert not measured


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
    found = contributions_without(network, [probe], terms, gone, [0, 2], baseline)
    plain = RecordedPass(network, image)
    whole = probe.read(expected)[0, [0, 2]].sum()
    logit = logit_without([plain], [probe], gone, [0, 2], baseline)
    assert logit == pytest.approx(float(whole), abs=1e-4)
    last = [term for term in terms if term.block == terms[-1].block and term not in gone]
    exact = [
        float(whole - probe.read(plain.without([*gone, term], baseline))[0, [0, 2]].sum())
        for term in last
    ]
    estimates = [found[0, terms.index(term)] for term in last]
    np.testing.assert_allclose(estimates, exact, atol=0.2 * np.abs(exact).max())
