"""In which order components are left out so that the evidence falls soonest.

Components act together: the second of two that say the same is worth little once the first is gone,
and what seems to speak against a lesion may be all that is left for it. So contributions are
estimated anew, from gradients, when two components are gone, and after every six more. A greedy
search that measures every candidate at every turn finds hardly a better order, for a hundred times
the work (docs/evidence/components.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, channel_of, mixers_of
from factorizer_engine.components.estimates import Estimate
from factorizer_engine.components.evidence import block_evidence, gradients_of
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import Question
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

FIRST, NEXT = 2, 6
"""Components that are taken by the estimates for the whole network, and by each later one."""


@dataclass(frozen=True)
class Turns:
    """An order of components.

    Attributes:
        order: Indices of all components, what is left out first in front.
        strengths: What each contributes when its turn comes, estimated; in the same order.
    """

    order: tuple[int, ...]
    strengths: tuple[float, ...]

    def first(self, count: int) -> Turns:
        """The first ones only."""
        return Turns(self.order[:count], self.strengths[:count])


def turns_of(asked: Question, estimate: Estimate, count: int, monitor: Monitor) -> Turns:
    """The candidates in turn, by what they contribute to all decisive regions together.

    Args:
        asked: What is asked.
        estimate: What they contribute in the whole network.
        count: How many have to be in the right order.
        monitor: Told of the progress, and asked whether to stop.
    """

    def without(order: Sequence[int]) -> np.ndarray:
        monitor.report("estimating components", len(order) / count)
        gone = [asked.candidates[index] for index in order]
        found = np.zeros(len(asked.candidates))
        for member, network in enumerate(asked.networks):
            rows = [i for i, term in enumerate(asked.candidates) if term.network == member]
            found[rows] = contributions_without(
                network,
                asked.probes,
                [asked.candidates[i] for i in rows],
                [term for term in gone if term.network == member],
                asked.outputs,
                asked.baseline,
            )
        return found / len(asked.networks)

    turns = take_turns(estimate.contributions.sum(axis=1), without, count)
    monitor.report("estimating components", 1.0)
    return turns


def contributions_without(
    network: Factorizer,
    probes: Sequence[Probe],
    terms: Sequence[Term],
    left_out: Sequence[Term],
    regions: Sequence[int],
    baseline: Baseline = Baseline.ZERO,
) -> np.ndarray:
    """First-order contributions to the sum of some mean logits when some components are gone.

    Args:
        network: In evaluation mode.
        probes: Where logits are read.
        terms: Of the network.
        left_out: Those that are gone, too.
        regions: Indices of the regions.
        baseline: What takes the place of a component.

    Returns:
        float64, (len(terms),); without meaning for terms that are left out.
    """
    mixers, blocks = mixers_of(network), list(dict.fromkeys(term.block for term in terms))
    found = np.zeros(len(terms))
    for probe in probes:
        recorded = RecordedPass(network, probe.image, blocks, left_out=left_out, baseline=baseline)
        gradients = gradients_of(recorded, probe, [regions], blocks)
        sums = {
            block: block_evidence(recorded, block, gradients[block], baseline)[0][0]
            .flatten(1)
            .sum(1)
            for block in blocks
        }
        found += [float(sums[term.block][channel_of(term, mixers)]) for term in terms]
    return found


def take_turns(
    whole: np.ndarray, without: Callable[[Sequence[int]], np.ndarray], count: int
) -> Turns:
    """Order components by what they contribute when those before them are gone.

    Args:
        whole: What every component contributes in the whole network, (N,).
        without: The same with some of them, by index, left out.
        count: How many have to be in the right order; the others follow by the last estimate.
    """
    order: list[int] = []
    strengths: list[float] = []
    estimate = whole
    while True:
        falling = np.argsort(-estimate, kind="stable").tolist()
        left = [index for index in falling if index not in order]
        batch = left[: NEXT if order else FIRST]
        order += batch
        strengths += estimate[batch].tolist()
        if len(order) >= min(count, len(whole)):
            rest = left[len(batch) :]
            return Turns((*order, *rest), (*strengths, *estimate[rest].tolist()))
        estimate = without(order)
