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
        self._plan, self._regions = plan, list(regions)
        self._baseline, self._joined = baseline, joined
        self._least = float(np.log(threshold / (1 - threshold)))
        self._weights = self._canvas(1)[0]
        for probe in [probe for own in self._passes for probe in own]:
            own_weights = probe.weights[self._regions[0]].flip(_spatial(probe, 0))
            self._weights[probe.window] += own_weights.cpu()
        self._original = self._blended([])
        self._changes: dict[Term, Tensor] = {}
        self._whole = self._holding(self._original)

    def watch(self, term: Term, probe: Probe, logits: Tensor) -> None:
        """Take what is left of the logits (R, *roi_size) in a probe without a component."""
        change = self._changes.setdefault(term, self._canvas(len(self._regions)))
        original = self._passes[term.network][probe].logits[0].detach()
        self._add(change, probe, logits - original)

    def alone(self, term: Term) -> float:
        """The part (0 to 1) that is left without a component that was watched."""
        change = self._changes.get(term)
        return 1.0 if change is None else self._part(self._original + change / self._divisor)

    def without(self, terms: Sequence[Term]) -> float:
        """The part that is left without all these components at once."""
        if len(terms) == 1 and terms[0] in self._changes:
            return self.alone(terms[0])  # which needs no further run
        return self._part(self._blended(terms))

    @property
    def is_found(self) -> bool:
        """Whether anything of the lesion is found with all components."""
        return self._whole > 0

    def _part(self, logits: Tensor) -> float:
        return min(self._holding(logits) / self._whole, 1.0) if self._whole else 1.0

    def _holding(self, logits: Tensor) -> float:
        """The part of the lesion's voxels where a region holds by logits (regions, *padded)."""
        lesion, joined = self._weights > 0, self._joined
        if joined is not None:
            change = (logits - self._original)[:, lesion]
            own = joined.logits[:, lesion] + joined.share * change
        else:
            own = logits[:, lesion]
        held = (own >= self._least).any(dim=0)
        return float(held.float().mean()) if held.numel() else 0.0

    def _blended(self, left_out: Sequence[Term]) -> Tensor:
        """The logits (regions, *padded) without some components."""
        canvas = self._canvas(len(self._regions))
        for member, recorded in enumerate(self._passes):
            own = [term for term in left_out if term.network == member]
            for probe, one in recorded.items():
                self._add(canvas, probe, one.without(own, self._baseline)[0])
        return canvas / self._divisor

    def _add(self, canvas: Tensor, probe: Probe, logits: Tensor) -> None:
        own = logits[self._regions].float() * probe.weights[self._regions]
        canvas[in_all_channels(probe.window)] += own.flip(_spatial(probe)).cpu()

    def _canvas(self, channels: int) -> Tensor:
        return torch.zeros(channels, *self._plan.padded)

    @property
    def _divisor(self) -> Tensor:
        return self._weights.clamp(min=1e-30)


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


def _spatial(probe: Probe, channels: int = 1) -> tuple[int, ...]:
    """The mirrored axes of a probe, of arrays with one axis of channels or none."""
    return tuple(axis - 2 + channels for axis in probe.flip)
