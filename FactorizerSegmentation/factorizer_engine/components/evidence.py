"""Evidence: what every component contributes, voxel by voxel, estimated from gradients.

The mixed map M of a block is the sum of the terms T_r of its heads. With the gradient g of a mean
logit with respect to M, the evidence of a component at a voxel is

    e_r(voxel) = sum over the head's channels c of g_c(voxel) * (T_rc(voxel) - b_rc(voxel)),

where b is what would take the term's place (`Baseline`). It is signed, and its sum over the voxels
is the first-order estimate of what leaving the component out changes: exact where everything after
the block is linear. This is gradient times input (Shrikumar et al., *Not just a black box*,
arXiv:1605.01713), taken at the network's own bottlenecks of rank one. One forward pass serves all
components of all blocks, with one backward pass a region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import (
    Baseline,
    changed,
    head_mask,
    masked_mean,
    mixers_of,
    observed,
)
from factorizer_engine.factorization import Factors
from factorizer_engine.inference.windows import WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer, finest
from factorizer_engine.networks.blocks import FactorObserver, MixedFilter
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor


@dataclass(frozen=True, eq=False)
class Traced:
    """A window's mixed maps and the gradients of mean logits with respect to them.

    Attributes:
        logits: The part of the window in the mean logit of every region, (R,).
        mixed: By block, (1, C, *S).
        gradients: By block, one (1, C, *S) a region that was asked for.
        factors: By block of a rank above 1, U and V as a component filter gets them.
    """

    logits: Tensor
    mixed: dict[str, Tensor]
    gradients: dict[str, list[Tensor]]
    factors: dict[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class WindowEvidence:
    """The evidence of all components in one probe.

    Attributes:
        probe: Where.
        maps: By block, (regions asked for, heads * R, *S), logits a voxel of the block.
        levels: By block, (regions asked for, heads * R): what the terms' means over the head
            contribute, logits.
    """

    probe: Probe
    maps: dict[str, Tensor]
    levels: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What all components of a network contribute, estimated.

    Attributes:
        regions: The regions that were asked for, by index.
        windows: One a probe.
        baseline: What takes the place of a component.
    """

    regions: tuple[int, ...]
    windows: tuple[WindowEvidence, ...]
    baseline: Baseline

    def contributions(self, mixers: Mapping[str, FactMixer], terms: Sequence[Term]) -> np.ndarray:
        """First-order contributions, float64, (len(terms), len(regions))."""
        blocks = {term.block for term in terms}
        sums = [_summed({b: window.maps[b] for b in blocks}) for window in self.windows]
        return self._sums(mixers, terms, sums)

    def levels(self, mixers: Mapping[str, FactMixer], terms: Sequence[Term]) -> np.ndarray:
        """The part (0 to 1) of what terms contribute that their means over the head do.

        Returns:
            float64, (len(terms), len(regions)), 0 where the mean speaks for the opposite.
        """
        means = self._sums(mixers, terms, [window.levels for window in self.windows])
        whole = self.contributions(mixers, terms)
        if self.baseline is Baseline.MEAN:
            whole = whole + means
        part = np.divide(means, whole, out=np.zeros_like(means), where=whole != 0)
        return part.clip(0.0, 1.0)

    def _sums(
        self,
        mixers: Mapping[str, FactMixer],
        terms: Sequence[Term],
        windows: Sequence[Mapping[str, Tensor]],
    ) -> np.ndarray:
        if not windows:  # nothing was looked at, as in a box over the background
            return np.zeros((len(terms), len(self.regions)))
        totals = {
            block: torch.stack([window[block] for window in windows]).sum(0).double().cpu().numpy()
            for block in {term.block for term in terms}
        }
        return np.stack([totals[term.block][:, _channel(mixers, term)] for term in terms])

    def draw(
        self, mixers: Mapping[str, FactMixer], term: Term, region: int, plan: WindowPlan
    ) -> np.ndarray:
        """Evidence of one component for a region in model space, in logits a voxel, (X, Y, Z).

        A voxel of a coarser block is spread over the voxels that it covers, so that the sum stays
        what `contributions` says, but for what lies in the zeros around a small volume.
        """
        asked, canvas = self.regions.index(region), torch.zeros(plan.padded)
        for window in self.windows:
            own = window.maps[term.block][asked, _channel(mixers, term)][None, None]
            spread = enlarged(own, plan.roi_size).flip(window.probe.flip)
            canvas[window.probe.window] += spread[0, 0].cpu()
        ends = [b + n for b, n in zip(plan.before, plan.shape, strict=True)]
        inside = tuple(slice(b, e) for b, e in zip(plan.before, ends, strict=True))
        return canvas[inside].numpy()


def find_evidence(
    network: Factorizer,
    probes: Sequence[Probe],
    regions: Sequence[int],
    baseline: Baseline = Baseline.ZERO,
    blocks: Sequence[str] | None = None,
    monitor: Monitor | None = None,
) -> Evidence:
    """The evidence of all components of a network, for the mean logits that the probes read.

    Memory is that of one window's forward pass with gradients, and of the maps of all components
    at their blocks' resolutions.

    Args:
        network: In evaluation mode.
        probes: Where logits are read.
        regions: Indices of the regions; every one costs a backward pass.
        baseline: What takes a component's place.
        blocks: Blocks to look into; all by default.
        monitor: Told after every probe, and asked whether to stop.
    """
    monitor = monitor or Monitor()
    mixers = mixers_of(network)
    wanted = list(mixers) if blocks is None else list(blocks)
    windows = []
    for done, probe in enumerate(probes, start=1):
        monitor.check()
        traced = trace(network, probe, regions, wanted)
        maps, levels = {}, {}
        for block in wanted:
            maps[block], levels[block] = _block_evidence(
                mixers[block], traced, block, probe.image, baseline
            )
        windows.append(WindowEvidence(probe, maps, levels))
        monitor.report("estimating components", done / len(probes))
    return Evidence(tuple(regions), tuple(windows), baseline)


def trace(
    network: Factorizer, probe: Probe, regions: Sequence[int], blocks: Sequence[str]
) -> Traced:
    """One forward pass over a window and one backward pass a region."""
    mixers = mixers_of(network)
    mixed: dict[str, Tensor] = {}
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    taps = {mixers[block]: _tap_into(mixed, block) for block in blocks}
    observers = {
        mixers[block]: _factors_into(factors, block)
        for block in blocks
        if mixers[block].factorize.rank > 1
    }
    with torch.enable_grad(), changed(taps), observed(observers):
        logits = probe.read(finest(network(probe.image)))[0]
        gradients: dict[str, list[Tensor]] = {block: [] for block in mixed}
        for number, region in enumerate(regions, start=1):
            found = torch.autograd.grad(
                logits[region], list(mixed.values()), retain_graph=number < len(regions)
            )
            for block, gradient in zip(mixed, found, strict=True):
                gradients[block].append(gradient)
    detached = {block: x.detach() for block, x in mixed.items()}
    return Traced(logits.detach(), detached, gradients, factors)


def terms_at(mixer: FactMixer, traced: Traced, block: str) -> Iterator[Tensor]:
    """The maps (1, C, *S) of the terms 0, 1, ... of all heads; their sum is the mixed map."""
    if mixer.factorize.rank == 1:
        yield traced.mixed[block]
        return
    u, v = traced.factors[block]
    for r in range(u.shape[-1]):
        yield mixer.reshape.inverse_forward(u[..., r : r + 1] @ v[..., r : r + 1].mT)


def _block_evidence(
    mixer: FactMixer, traced: Traced, block: str, image: Tensor, baseline: Baseline
) -> tuple[Tensor, Tensor]:
    """Maps (regions, heads * R, *S), and what the means do (regions, heads * R)."""
    gradients = torch.cat(traced.gradients[block])
    heads, size = mixer.reshape.num_heads, gradients.shape[2:]
    head = head_mask(image, size)
    found, levels = [], []
    for term in terms_at(mixer, traced, block):
        mean = masked_mean(term, head)[None].unflatten(1, (-1, *[1] * len(size))) * head
        change = term - mean if baseline is Baseline.MEAN else term
        found.append((gradients * change).unflatten(1, (heads, -1)).sum(dim=2))
        levels.append((gradients * mean).flatten(2).sum(2).unflatten(1, (heads, -1)).sum(dim=2))
    return torch.stack(found, dim=2).flatten(1, 2), torch.stack(levels, dim=2).flatten(1, 2)


def _summed(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {block: values.flatten(2).sum(-1) for block, values in maps.items()}


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """A map (1, 1, *S) at a finer resolution with the same sum."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    share = float(np.prod(x.shape[2:]) / np.prod(size))
    return share * F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=False)


def _channel(mixers: Mapping[str, FactMixer], term: Term) -> int:
    return term.head * mixers[term.block].factorize.rank + term.rank


def _tap_into(mixed: dict[str, Tensor], block: str) -> MixedFilter:
    def tap(x: Tensor) -> Tensor:
        # The first map of a pass begins the graph: nothing before it needs a gradient.
        mixed[block] = x if x.requires_grad else x.detach().requires_grad_()
        return mixed[block]

    return tap


def _factors_into(factors: dict[str, tuple[Tensor, Tensor]], block: str) -> FactorObserver:
    def keep(found: Factors | tuple[Tensor, Tensor]) -> None:
        if not isinstance(found, Factors):
            factors[block] = (found[0].detach(), found[1].detach())

    return keep
