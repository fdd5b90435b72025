"""In which order components are left out so that the evidence falls soonest.

Components act together: the second of two that say the same is worth little once the first is gone,
and what seems to speak against a lesion may be all that is left for it. So the strongest and the
strongest stable one come first, and then contributions are estimated anew, from gradients, for
every four that follow. Each time there are two proposals for them, those of the largest
contributions and those whose means over the head contribute most (gradients misjudge large changes,
and a level is one everywhere); both are left out, and the logit decides. A greedy search that
measures every candidate at every turn is better still, for many times the work
(docs/evidence/components.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, channel_of, mixers_of
from factorizer_engine.components.estimates import Estimate, Passes
from factorizer_engine.components.evidence import gradients_of, summed_evidence
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import Question
from factorizer_engine.components.ranking import leading_pair
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

TAKEN = 4
"""Components that are taken by one estimate."""


@dataclass(frozen=True)
class Turns:
    """An order of components.

    Attributes:
        order: Indices of all components, what is left out first in front.
        strengths: What each contributes when its turn comes, estimated; in the same order.
    """

    order: tuple[int, ...]
    strengths: tuple[float, ...]

    @property
    def speaking(self) -> list[int]:
        """Those that speak for the lesion when their turn comes."""
        both = zip(self.order, self.strengths, strict=True)
        return [index for index, strength in both if strength > 0]

    def first(self, count: int) -> Turns:
        """The first ones only."""
        return Turns(self.order[:count], self.strengths[:count])


def turns_of(
    asked: Question, passes: Passes, estimate: Estimate, count: int, monitor: Monitor
) -> Turns:
    """The candidates in turn, by what they contribute to all decisive regions together.

    Args:
        asked: What is asked.
        passes: By network, over the probes.
        estimate: What they contribute in the whole network.
        count: How many have to be in the right order.
        monitor: Told of the progress, and asked whether to stop.
    """
    terms = asked.candidates

    def gone(order: Sequence[int], member: int) -> list[Term]:
        return [terms[index] for index in order if terms[index].network == member]

    def without(order: Sequence[int]) -> np.ndarray:
        monitor.report("estimating components", len(order) / (len(order) + count))
        found = np.zeros((2, len(terms)))
        for member, network in enumerate(asked.networks):
            rows = [i for i, term in enumerate(terms) if term.network == member]
            found[:, rows] = contributions_without(
                network,
                asked.probes,
                [terms[i] for i in rows],
                gone(order, member),
                asked.outputs,
                asked.baseline,
            )
        return found

    def measure(order: Sequence[int]) -> float:
        monitor.check()
        return sum(
            logit_without(own, asked.probes, gone(order, member), asked.outputs, asked.baseline)
            for member, own in enumerate(passes)
        )

    whole = estimate.contributions.sum(axis=1)
    first = leading_pair(whole, [asked.profile(i).stability for i in range(len(terms))])
    turns = take_turns(whole, first, without, measure, count)
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
        float64, (2, len(terms)): of the components, and of their means over the head; without
        meaning for those that are left out.
    """
    mixers, blocks = mixers_of(network), list(dict.fromkeys(term.block for term in terms))
    found = np.zeros((2, len(terms)))
    for probe in probes:
        recorded = RecordedPass(network, probe.image, blocks, left_out=left_out, baseline=baseline)
        gradients = gradients_of(recorded, probe, [regions], blocks)
        for block in blocks:
            summed = summed_evidence(recorded, block, gradients[block][0], baseline)
            sums = summed.double().cpu().numpy()
            rows = [i for i, term in enumerate(terms) if term.block == block]
            found[:, rows] += sums[:, [channel_of(terms[i], mixers) for i in rows]]
    return found


def logit_without(
    passes: Sequence[RecordedPass],
    probes: Sequence[Probe],
    left_out: Sequence[Term],
    regions: Sequence[int],
    baseline: Baseline = Baseline.ZERO,
) -> float:
    """The sum of some mean logits of one network without some components."""
    return sum(
        float(probe.read(recorded.without(left_out, baseline))[0, list(regions)].sum())
        for recorded, probe in zip(passes, probes, strict=True)
    )


def take_turns(
    whole: np.ndarray,
    first: Sequence[int],
    without: Callable[[Sequence[int]], np.ndarray],
    measure: Callable[[Sequence[int]], float],
    count: int,
) -> Turns:
    """Order components by what they contribute when those before them are gone.

    Args:
        whole: What every component is estimated to contribute, (N,).
        first: What is left out first, by index.
        without: By proposal, the same with some of them, by index, left out, (P, N).
        measure: The logit with some of them, by index, left out.
        count: How many have to be in the right order; the others follow by the last estimate.
    """
    order, strengths = list(first), whole[list(first)].tolist()
    left = [i for i in np.argsort(-whole, kind="stable").tolist() if i not in order]
    rest = whole[left].tolist()
    while len(order) < min(count, len(whole)):
        proposed: dict[frozenset[int], tuple[list[int], np.ndarray]] = {}
        for proposal in without(order):
            falling = [i for i in np.argsort(-proposal, kind="stable").tolist() if i in left]
            proposed.setdefault(frozenset(falling[:TAKEN]), (falling, proposal))
        several = list(proposed.values())
        if len(several) > 1:
            several.sort(key=lambda one: measure([*order, *one[0][:TAKEN]]))
        falling, proposal = several[0]
        order += falling[:TAKEN]
        strengths += proposal[falling[:TAKEN]].tolist()
        left = falling[TAKEN:]
        rest = proposal[left].tolist()
    return Turns((*order, *left), (*strengths, *rest))
