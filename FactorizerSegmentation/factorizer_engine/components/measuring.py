"""Which components are shown, and what leaving them out changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from factorizer_engine.components.ablation import measure_in_passes
from factorizer_engine.components.estimates import Estimate, Passes
from factorizer_engine.components.question import Question
from factorizer_engine.components.ranking import chosen_in_turn, in_order_shown
from factorizer_engine.components.reliance import Joined, LesionVolume, find_reliance
from factorizer_engine.components.turns import turns_of
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import windows_at_once
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.protocol.components import Reliance, Term
from factorizer_engine.protocol.progress import Monitor

_ORDERED, _MEASURED = 0.45, 0.8
"""How far measuring has come at the end of its stages."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What leaving out the components changes that are shown, in the order in which they are.

    Attributes:
        candidates: Their indices among the candidates.
        terms: What they are.
        contributions: How much the mean logit of every region of the result falls, (N, R).
        regions: To which of the decisive regions each contributes most.
        volume: What is left of the lesion that was asked for; None if none was, or if the regions
            in question hold nowhere in it.
        reliance: On which of them it rests; None likewise.
    """

    candidates: Sequence[int]
    terms: Sequence[Term]
    contributions: np.ndarray
    regions: Sequence[int]
    volume: LesionVolume | None
    reliance: Reliance | None


def measure(
    asked: Question,
    passes: Passes,
    estimate: Estimate,
    count: int,
    of_lesion: bool,
    monitor: Monitor,
) -> Measured:
    """Choose components in turn (`turns`), leave each out, and rank them by what that changes.

    Args:
        asked: What is asked.
        passes: By network, over the probes.
        estimate: What all candidates contribute.
        count: How many are chosen, at most.
        of_lesion: Whether it is about one lesion, of which less or more is left.
        monitor: Told of the progress, and asked whether to stop.
    """
    turns = turns_of(asked, passes, estimate, count, monitor.span(0.0, _ORDERED))
    stability = [asked.profile(index).stability for index in range(len(asked.candidates))]
    chosen = chosen_in_turn(turns.order, count, estimate.contributions.sum(axis=1), stability)
    volume = _volume(asked, passes) if of_lesion else None
    measured = _left_out(asked, passes, chosen, monitor.span(_ORDERED, _MEASURED), volume)
    strength = {index: float(found[asked.decisive].sum()) for index, found in measured.items()}
    ranked = in_order_shown(chosen, strength, stability)
    terms = [asked.candidates[index] for index in ranked]
    contributions = np.stack([measured[index] for index in ranked])
    reliance = None
    if volume is not None:
        speaking = [ranked.index(index) for index in turns.speaking(chosen)]
        reliance = find_reliance(volume, terms, speaking, monitor.span(_MEASURED, 1.0))
    most = contributions[:, asked.decisive].argmax(axis=1)
    regions = [asked.decisive[i] for i in most]
    return Measured(ranked, terms, contributions, regions, volume, reliance)


def _left_out(
    asked: Question,
    passes: Passes,
    chosen: Sequence[int],
    monitor: Monitor,
    volume: LesionVolume | None,
) -> dict[int, np.ndarray]:
    """Exact contributions of the chosen candidates to the regions of the result, (R,) each."""
    terms = [asked.candidates[index] for index in chosen]
    measured = np.zeros((len(terms), asked.networks[0].out_channels))
    roi_size, device = asked.result.plan.roi_size, asked.segmenter.device
    at_once = windows_at_once(asked.networks[0], roi_size, device)
    for (member, own), part in zip(enumerate(passes), monitor.parts(len(passes)), strict=True):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        among = [terms[row] for row in rows]
        if asked.probes:
            watch = volume.watch if volume is not None else None
            measured[rows] = measure_in_passes(
                own, asked.probes, among, at_once, part, asked.baseline, watch
            )
    measured = measured[:, asked.result.outputs] / len(passes)
    return dict(zip(chosen, measured, strict=True))


def _volume(asked: Question, passes: Passes) -> LesionVolume | None:
    """What is left of the lesion; None where the regions in question hold nowhere in it."""
    volume = LesionVolume(
        passes,
        asked.probes,
        asked.result.plan,
        asked.outputs_of(asked.held),
        asked.segmenter.bundle.inference.threshold,
        asked.baseline,
        _joined(asked),
    )
    return volume if volume.is_found else None


def _joined(asked: Question) -> Joined | None:
    """Of a cascade, what both stages say together."""
    cascade, result = asked.cascade, asked.result
    if cascade is None:
        return None
    logits = [
        resample(Scan(logit(result.probabilities[region]), result.labelmap.grid), grid).array
        for grid in [result.prepared.grid]
        for region in asked.held
    ]
    return Joined(result.plan.pad(torch.from_numpy(np.stack(logits))), cascade.share)
