"""First-order contributions of all components that are looked into, of every network in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.evidence import Evidence, evidence_in_passes
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import Question
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.progress import Monitor

Passes = list[list[RecordedPass]]
"""Of every network of the ensemble, the passes over the probes."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What all candidates contribute to the decisive regions, from gradients.

    Attributes:
        evidence: By network.
        contributions: (candidates, decisive regions).
        levels: The parts of them that are those of levels.
    """

    evidence: Sequence[Evidence]
    contributions: np.ndarray
    levels: np.ndarray


def estimate_all(asked: Question, passes: Passes, monitor: Monitor) -> Estimate:
    """What every component contributes, at one forward pass and one backward pass a region.

    Args:
        asked: What is asked.
        passes: By network, empty; filled with the passes over the probes.
        monitor: Told of the progress, and asked whether to stop.
    """
    blocks = list(dict.fromkeys(term.block for term in asked.candidates))
    found, contributions, levels = [], [], []
    for (member, kept), part in zip(enumerate(passes), monitor.parts(len(passes)), strict=True):
        terms = [term for term in asked.candidates if term.network == member]
        recording = _recording(asked.networks[member], asked.probes, blocks, kept)
        evidence = evidence_in_passes(
            recording, asked.probes, asked.outputs, asked.baseline, blocks, part
        )
        found.append(evidence)
        contributions.append(evidence.contributions(asked.mixers, terms) / len(passes))
        levels.append(evidence.levels(asked.mixers, terms))
    return Estimate(found, np.concatenate(contributions), np.concatenate(levels))


def _recording(
    network: Factorizer, probes: Sequence[Probe], blocks: Sequence[str], kept: list[RecordedPass]
) -> Iterator[RecordedPass]:
    """Differentiable passes one after the other, so that memory holds one graph at a time."""
    for probe in probes:
        kept.append(RecordedPass(network, probe.image, blocks))
        yield kept[-1]
