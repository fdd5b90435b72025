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


class LesionVolume:
    """How much of a lesion is still found when components are left out.

    Args:
        passes: Of all networks of an ensemble, one a probe.
        probes: Windows whose weights mark the lesion (see `place_probes`).
        plan: The windows of the prediction.
        regions: Outputs of the network of which one has to hold at a voxel of the lesion.
        threshold: Probability above which a region holds.
        baseline: What takes the place of a component.
        joined: What counts in place of what the networks say, if they are a finer stage.
    """

    def __init__(
        self,
        passes: Sequence[Sequence[RecordedPass]],
        probes: Sequence[Probe],
        plan: WindowPlan,
        regions: Sequence[int],
        threshold: float,
        baseline: Baseline = Baseline.ZERO,
        joined: Joined | None = None,
    ) -> None:
        self._passes = [dict(zip(probes, recorded, strict=True)) for recorded in passes]
        self._regions, self._baseline = list(regions), baseline
        self._least = float(np.log(threshold / (1 - threshold)))
        weights = torch.zeros(plan.padded)
        for probe in probes:
            own = probe.weights[self._regions[0]].flip(_spatial(probe))
            weights[probe.window] += len(passes) * own.cpu()
        lesion = weights > 0
        self._weights = weights[lesion]
        numbers = torch.full(plan.padded, -1)
        numbers[lesion] = torch.arange(len(self._weights))
        self._numbers = {probe: numbers[probe.window].flip(_spatial(probe)) for probe in probes}
        self._share = joined.share if joined is not None else 1.0
        self._original = self._blended([])
        self._shown = joined.logits[:, lesion] if joined is not None else self._original
        self._changes: dict[Term, Tensor] = {}
        self._whole = self._holding(self._nothing())

    def watch(self, term: Term, probe: Probe, logits: Tensor) -> None:
        """Take what is left of the logits (R, *roi_size) in a probe without a component.

        Several threads may do so at a time, of different components.
        """
        change = self._changes.setdefault(term, self._nothing())
        original = self._passes[term.network][probe].logits[0].detach()
        change += self._seen(probe, logits - original)

    def alone(self, term: Term) -> float:
        """The part (0 to 1) that is left without a component that was watched."""
        return self._part(self._changes.get(term, self._nothing()))

    def without(self, terms: Sequence[Term]) -> float:
        """The part that is left without all these components at once."""
        if len(terms) == 1 and terms[0] in self._changes:
            return self.alone(terms[0])  # which needs no further run
        return self._part(self._blended(terms) - self._original)

    @property
    def is_found(self) -> bool:
        """Whether anything of the lesion is found with all components."""
        return self._whole > 0

    def _part(self, change: Tensor) -> float:
        return min(self._holding(change) / self._whole, 1.0) if self._whole else 1.0

    def _holding(self, change: Tensor) -> float:
        """The part of the lesion's voxels where a region holds when logits change so much."""
        held = (self._shown + self._share * change >= self._least).any(dim=0)
        return float(held.float().mean()) if held.numel() else 0.0

    def _blended(self, left_out: Sequence[Term]) -> Tensor:
        """The logits of the lesion's voxels without some components."""
        logits = self._nothing()
        for member, recorded in enumerate(self._passes):
            own = [term for term in left_out if term.network == member]
            for probe, one in recorded.items():
                logits += self._seen(probe, one.without(own, self._baseline)[0])
        return logits

    def _seen(self, probe: Probe, logits: Tensor) -> Tensor:
        """What logits (R, *roi_size) in a probe add to those of the lesion's voxels."""
        numbers, seen = self._numbers[probe], self._nothing()
        inside = (numbers >= 0).to(logits.device)
        own = logits[self._regions][:, inside].float() * probe.weights[self._regions][:, inside]
        places = numbers[numbers >= 0]
        seen[:, places] = own.cpu() / self._weights[places]
        return seen

    def _nothing(self) -> Tensor:
        """(regions, voxels of the lesion)."""
        return torch.zeros(len(self._regions), len(self._weights))


def find_reliance(
    volume: LesionVolume,
    terms: Sequence[Term],
    order: Sequence[int],
    monitor: Monitor | None = None,
) -> Reliance:
    """Leave out the first component, the first two, and so on, until the lesion is gone.

    Greedy: sets of components that are not the first are never tried. Exact: every set is left
    out at once, and the network run again. All together come first: where they do not suffice,
    fewer do not.

    Args:
        volume: What is left of the lesion, of which something is found.
        terms: Components.
        order: In which they are left out, by index; what does not speak for the lesion is not among
            them.
        monitor: Told after every set, and asked whether to stop.
    """
    monitor = monitor or Monitor()
    if not order:
        return Reliance((), 1.0)
    tried: list[Reliance] = []
    for count in (len(order), *range(1, len(order))):
        monitor.check()
        left = volume.without([terms[i] for i in order[:count]])
        tried.append(Reliance(tuple(order[:count]), left))
        monitor.report("leaving components out together", len(tried) / len(order))
        if tried[-1].is_gone == (len(tried) > 1):
            return tried[-1]
    return tried[0]


def _spatial(probe: Probe) -> tuple[int, ...]:
    """The mirrored axes of a probe, of arrays without other axes."""
    return tuple(axis - 2 for axis in probe.flip)
