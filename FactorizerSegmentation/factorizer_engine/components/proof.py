"""Is the ranking faithful? Leave out more and more components and watch the lesion's logit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from factorizer_engine.components.ablation import (
    Probe,
    mean_logits,
    measure_contributions,
    place_probes,
)
from factorizer_engine.components.definition import (
    factorizers_of,
    filtered,
    mixers_of,
    terms_of,
    without_all,
)
from factorizer_engine.components.ranking import default_blocks, rank_by_contribution
from factorizer_engine.components.sites import among_outputs, lesion_sites
from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.inference.segmenter import SegmentationResult, Segmenter
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

_MEASURED = 0.3
"""How far a proof has come when the contributions are measured."""


@dataclass(frozen=True)
class Faithfulness:
    """Deletion curves: the mean logit inside a lesion while components are left out one by one.

    Each curve starts with the whole network and ends without any component of the chosen blocks. In
    a faithful ranking the logit falls soonest if what speaks most for the region goes first.

    Attributes:
        region: Name of the region.
        ranked: By falling contribution.
        reversed: By rising contribution.
        shuffled: In random orders, the mean of several.
    """

    region: str
    ranked: tuple[float, ...]
    reversed: tuple[float, ...]
    shuffled: tuple[float, ...]

    @property
    def gain_over_reversed(self) -> float:
        """How much lower the ranked curve is than the reversed one, on average, in logits."""
        return float(np.mean(self.reversed) - np.mean(self.ranked))

    @property
    def gain_over_chance(self) -> float:
        """How much lower the ranked curve is than the shuffled one, on average, in logits."""
        return float(np.mean(self.shuffled) - np.mean(self.ranked))


def prove(
    segmenter: Segmenter,
    result: SegmentationResult,
    region: str,
    blocks: Sequence[str] | None = None,
    shuffles: int = 3,
    seed: int = 0,
    monitor: Monitor | None = None,
) -> Faithfulness:
    """Test whether measured contributions tell in advance what leaving components out does.

    Args:
        segmenter: The model, a Factorizer; of an ensemble the first network.
        result: What `segmenter.segment` gave.
        region: Name of the region whose logit is watched, in the window that covers it best.
        blocks: Blocks whose components are left out; by default `default_blocks`.
        shuffles: Number of random orders.
        seed: Of the random orders.
        monitor: Told of the progress, and asked whether to stop.
    """
    monitor = monitor or Monitor()
    network, plan = factorizers_of(segmenter.networks)[0], result.plan
    mixers = mixers_of(network)
    terms = terms_of(mixers, default_blocks(mixers) if blocks is None else blocks)
    index = [r.name for r in result.model.regions].index(region)
    with memory_errors(segmenter.device):
        masks = lesion_sites(result, segmenter.bundle.inference.threshold).masks
        masks[np.arange(len(masks)) != index] = False
        masks, index = among_outputs(segmenter, result, masks), result.outputs[index]
        probes = place_probes(plan, result.prepared.array, masks, segmenter.device, limit=1)
        contributions = measure_contributions(
            network,
            probes,
            terms,
            windows_at_once(network, plan.roi_size, segmenter.device),
            monitor.span(0.0, _MEASURED),
        )
        ranked = [terms[i] for i in rank_by_contribution(contributions, [index])]
        generator = np.random.default_rng(seed)
        random = [[terms[i] for i in generator.permutation(len(ranked))] for _ in range(shuffles)]
        orders = [ranked, ranked[::-1], *random]
        parts = monitor.span(_MEASURED, 1.0).parts(len(orders))
        curves = [
            deletion_curve(network, probes, order, index, part)
            for order, part in zip(orders, parts, strict=True)
        ]
    shuffled = np.mean(curves[2:], axis=0)
    return Faithfulness(region, tuple(curves[0]), tuple(curves[1]), tuple(shuffled.tolist()))


def deletion_curve(
    network: Factorizer,
    probes: Sequence[Probe],
    order: Sequence[Term],
    region: int,
    monitor: Monitor | None = None,
) -> list[float]:
    """Mean logit of a region with none, one, two, ... all components of `order` left out."""
    monitor = monitor or Monitor()
    mixers = mixers_of(network)
    curve = []
    for count in range(len(order) + 1):
        left_out = sorted(order[:count])
        filters = {
            mixers[block]: without_all(mixers[block].reshape, list(members))
            for block, members in groupby(left_out, key=lambda term: term.block)
        }
        with filtered(filters):
            curve.append(float(mean_logits(network, probes)[region]))
        monitor.report("checking the ranking", count / len(order))
    return curve
