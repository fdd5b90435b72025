"""What a lesion rests on: the few components without which it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.inference.windows import WindowPlan
from factorizer_engine.protocol.components import Reliance, Term
from factorizer_engine.protocol.progress import Monitor


@dataclass(frozen=True, eq=False)
class Joined:
    """What a cascade says where its finer stage looked again.

    Attributes:
        logits: Of both stages together, of the regions in question, (regions, *padded).
        share: The part of the finer stage in them.
    """

    logits: Tensor
    share: float


def find_reliance(
    passes: Sequence[Sequence[RecordedPass]],
    probes: Sequence[Probe],
    plan: WindowPlan,
    terms: Sequence[Term],
    order: Sequence[int],
    regions: Sequence[int],
    threshold: float,
    baseline: Baseline = Baseline.ZERO,
    monitor: Monitor | None = None,
    joined: Joined | None = None,
) -> Reliance:
    """Leave out the first component, the first two, and so on, until the lesion is gone.

    Greedy: sets of components that are not the first are never tried. Exact: every set is left
    out at once, and the network run again. All together come first: where they do not suffice,
    fewer do not.

    Args:
        passes: Of all networks of an ensemble, one a probe.
        probes: Windows whose weights mark the lesion (see `place_probes`).
        plan: The windows of the prediction.
        terms: Components.
        order: In which they are left out, by index; what does not speak for the lesion is not among
            them.
        regions: Outputs of the network of which one has to hold at a voxel of the lesion.
        threshold: Probability above which a region holds.
        baseline: What takes the place of a component.
        monitor: Told after every set, and asked whether to stop.
        joined: What counts in place of what the networks say, if they are a finer stage.
    """
    monitor = monitor or Monitor()

    def said(count: int) -> tuple[Tensor, Tensor]:
        monitor.check()
        left_out = [terms[i] for i in order[:count]]
        return _blended(passes, probes, plan, left_out, regions, baseline)

    original, weights = said(0)
    lesion = weights > 0
    least = float(np.log(threshold / (1 - threshold)))

    def holding(count: int) -> float:
        """The part of the lesion's voxels where a region holds without the first ones."""
        logits = said(count)[0] if count else original
        if joined is not None:
            logits = joined.logits[:, lesion] + joined.share * (logits - original)[:, lesion]
        else:
            logits = logits[:, lesion]
        return float((logits >= least).any(dim=0).float().mean())

    whole = holding(0)
    if not (order and whole):
        return Reliance((), 1.0)
    tried: list[Reliance] = []
    for count in (len(order), *range(1, len(order))):
        tried.append(Reliance(tuple(order[:count]), holding(count) / whole))
        monitor.report("leaving components out together", len(tried) / len(order))
        if tried[-1].is_gone == (len(tried) > 1):
            return tried[-1]
    return tried[0]


def _blended(
    passes: Sequence[Sequence[RecordedPass]],
    probes: Sequence[Probe],
    plan: WindowPlan,
    left_out: Sequence[Term],
    regions: Sequence[int],
    baseline: Baseline,
) -> tuple[Tensor, Tensor]:
    """The logits (regions, *padded) without some components, and how much every voxel counts."""
    logits, weights = torch.zeros(len(regions), *plan.padded), torch.zeros(plan.padded)
    for member, recorded in enumerate(passes):
        own = [term for term in left_out if term.network == member]
        for probe, one in zip(probes, recorded, strict=True):
            found = one.without(own, baseline)[0, list(regions)]
            weighted = (found.float() * probe.weights[list(regions)]).flip(_spatial(probe))
            logits[in_all_channels(probe.window)] += weighted.cpu()
            weights[probe.window] += probe.weights[regions[0]].flip(_spatial(probe, 0)).cpu()
    return logits / weights.clamp(min=1e-30), weights


def _spatial(probe: Probe, channels: int = 1) -> tuple[int, ...]:
    """The mirrored axes of a probe, of arrays with one axis of channels or none."""
    return tuple(axis - 2 + channels for axis in probe.flip)
