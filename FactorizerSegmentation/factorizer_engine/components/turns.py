"""In which order components are left out so that the evidence falls soonest.

Components act together: the second of two that say the same is worth little once the first is gone,
and what seems to speak against a lesion may be all that is left for it. So the strongest comes
first, and then contributions are estimated anew, in the network without those that are gone, for
every five that follow. A greedy search that measures every candidate at every turn is better still,
for many times the work (docs/evidence/components.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, channel_of, mixers_of
from factorizer_engine.components.estimates import Estimate, Passes
from factorizer_engine.components.evidence import gradients_of, summed_evidence
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import Question
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

TAKEN = 5
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

    def speaking(self, among: Sequence[int]) -> list[int]:
        """Those of some that speak for the lesion when their turn comes, in turn."""
        both = zip(self.order, self.strengths, strict=True)
        return [index for index, strength in both if strength > 0 and index in among]


def turns_of(
    asked: Question, passes: Passes, estimate: Estimate, count: int, monitor: Monitor
) -> Turns:
    """The candidates in turn, by what they contribute to all decisive regions together.

    Args:
        asked: What is asked.
        passes: By network, over the probes; those of the network that has the first candidate in
            turn know what it gives without that one afterwards.
        estimate: What they contribute in the whole network.
        count: How many have to be in the right order.
        monitor: Told of the progress, and asked whether to stop.
    """
    terms = asked.candidates

    def without(order: Sequence[int]) -> np.ndarray:
        monitor.report("estimating components", len(order) / (len(order) + count))
        found = np.zeros(len(terms))
        for member, network in enumerate(asked.networks):
            rows = [i for i, term in enumerate(terms) if term.network == member]
            gone = [terms[i] for i in order if terms[i].network == member]
            found[rows], logits = contributions_without(
                network,
                asked.probes,
                [terms[i] for i in rows],
                gone,
                asked.outputs,
                asked.baseline,
            )
            if len(gone) == len(order) == 1:
                for recorded, own in zip(passes[member], logits, strict=True):
                    recorded.remember(gone[0], own)
        return found

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
) -> tuple[np.ndarray, list[Tensor]]:
    """First-order contributions to the sum of some mean logits when some components are gone.

    Args:
        network: In evaluation mode.
        probes: Where logits are read.
        terms: Of the network.
        left_out: Those that are gone, too.
        regions: Indices of the regions.
        baseline: What takes the place of a component.

    Returns:
        float64, (len(terms),), without meaning for those that are left out; and of every probe the
        logits (1, R, *S) that the network gives then.
    """
    mixers, blocks = mixers_of(network), list(dict.fromkeys(term.block for term in terms))
    found, logits = np.zeros(len(terms)), []
    for probe in probes:
        recorded = RecordedPass(network, probe.image, blocks, left_out=left_out, baseline=baseline)
        gradients = gradients_of(recorded, probe, [regions], blocks)
        logits.append(recorded.logits)
        for block in blocks:
            sums = summed_evidence(recorded, block, gradients[block][0], baseline)
            rows = [i for i, term in enumerate(terms) if term.block == block]
            channels = [channel_of(terms[i], mixers) for i in rows]
            found[rows] += sums.double().cpu().numpy()[channels]
    return found, logits


def take_turns(
    whole: np.ndarray, without: Callable[[Sequence[int]], np.ndarray], count: int
) -> Turns:
    """Order components by what they contribute when those before them are gone.

    Args:
        whole: What every component is estimated to contribute, (N,).
        without: The same with some of them, by index, left out.
        count: How many have to be in the right order; the others follow by the last estimate.
    """
    order: list[int] = []
    strengths: list[float] = []
    found, taken = whole, 1
    while True:
        falling = [i for i in np.argsort(-found, kind="stable").tolist() if i not in order]
        if len(order) + taken >= min(count, len(whole)):
            taken = len(falling)
        order += falling[:taken]
        strengths += found[falling[:taken]].tolist()
        if len(order) == len(whole):
            return Turns(tuple(order), tuple(strengths))
        found, taken = without(order), TAKEN
