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

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, channel_of, masked_mean, mixers_of
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.inference.windows import WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor


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

    def scaled(self, by: float) -> Evidence:
        """All of it multiplied by a number."""
        windows = (
            WindowEvidence(
                window.probe,
                {block: by * values for block, values in window.maps.items()},
                {block: by * values for block, values in window.levels.items()},
            )
            for window in self.windows
        )
        return replace(self, windows=tuple(windows))

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
        return np.stack([totals[term.block][:, channel_of(term, mixers)] for term in terms])

    def draw(
        self,
        mixers: Mapping[str, FactMixer],
        term: Term,
        region: int,
        plan: WindowPlan,
        mode: str = "trilinear",
    ) -> np.ndarray:
        """Evidence of one component for a region in model space, in logits a voxel, (X, Y, Z).

        A voxel of a coarser block is spread over the voxels that it covers, so that the sum stays
        what `contributions` says, but for what lies in the zeros around a small volume. `mode` says
        how, as for `torch.nn.functional.interpolate`.
        """
        asked, canvas = self.regions.index(region), torch.zeros(plan.padded)
        for window in self.windows:
            own = window.maps[term.block][asked, channel_of(term, mixers)][None, None]
            spread = enlarged(own, plan.roi_size, mode).flip(window.probe.flip)
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
    wanted = list(mixers_of(network)) if blocks is None else list(blocks)
    passes = (RecordedPass(network, probe.image, wanted) for probe in probes)
    return evidence_in_passes(passes, probes, regions, baseline, wanted, monitor)


def evidence_in_passes(
    passes: Iterable[RecordedPass],
    probes: Sequence[Probe],
    regions: Sequence[int],
    baseline: Baseline,
    blocks: Sequence[str],
    monitor: Monitor | None = None,
) -> Evidence:
    """`find_evidence` where passes over the probes, differentiable at the blocks, are known."""
    monitor = monitor or Monitor()
    windows = []
    for done, (probe, recorded) in enumerate(zip(probes, passes, strict=True), start=1):
        monitor.check()
        gradients = gradients_of(recorded, probe, regions, blocks)
        maps, levels = {}, {}
        for block in blocks:
            maps[block], levels[block] = block_evidence(recorded, block, gradients[block], baseline)
        windows.append(WindowEvidence(probe, maps, levels))
        monitor.report("estimating components", done / len(probes))
    return Evidence(tuple(regions), tuple(windows), baseline)


def evidence_along_a_path(
    network: Factorizer,
    probes: Sequence[Probe],
    regions: Sequence[int],
    blocks: Sequence[str],
    steps: int,
    monitor: Monitor | None = None,
) -> list[Evidence]:
    """The evidence while all components of some blocks grow together from nothing.

    The sum over the steps is what the Aumann-Shapley value shares out (Sundararajan et al.,
    *Axiomatic attribution for deep networks*, ICML 2017, equation 3, with the strengths of the
    components as inputs): over all components it adds up to the change of the mean logit when all
    of them are left out. So it counts what components do together, which one alone does not show.

    Args:
        network, probes, regions, monitor: As for `find_evidence`.
        blocks: Blocks whose components grow.
        steps: Equal parts of the way, at whose middles gradients are taken.

    Returns:
        One a step, already divided by their number.
    """
    monitor = monitor or Monitor()
    found = []
    for step, part in enumerate(monitor.parts(steps)):
        strength = (step + 0.5) / steps
        passes = (
            RecordedPass(network, probe.image, blocks, dict.fromkeys(blocks, strength))
            for probe in probes
        )
        evidence = evidence_in_passes(passes, probes, regions, Baseline.ZERO, blocks, part)
        found.append(evidence.scaled(1 / (strength * steps)))
    return found


def gradients_of(
    recorded: RecordedPass,
    probe: Probe,
    regions: Sequence[int | Sequence[int]],
    blocks: Collection[str],
) -> dict[str, list[Tensor]]:
    """Gradients of mean logits with respect to mixed maps, one backward pass a region.

    The graph of the pass, which takes much memory, is gone afterwards.

    Args:
        recorded: The pass.
        probe: Where logits are read.
        regions: Their indices; of several in one place the sum is differentiated.
        blocks: Whose mixed maps.

    Returns:
        By block, one (1, C, *S) for each of `regions`.
    """
    gradients: dict[str, list[Tensor]] = {block: [] for block in blocks}
    with torch.enable_grad():
        logits = probe.read(recorded.logits)[0]
        for number, region in enumerate(regions, start=1):
            found = torch.autograd.grad(
                logits[region].sum(),
                [recorded.mixed[block] for block in blocks],
                retain_graph=number < len(regions),
            )
            for block, gradient in zip(blocks, found, strict=True):
                gradients[block].append(gradient)
    recorded.forget_graph()
    return gradients


def block_evidence(
    recorded: RecordedPass, block: str, gradients: Sequence[Tensor], baseline: Baseline
) -> tuple[Tensor, Tensor]:
    """The evidence of all components of a block, from gradients at its mixed map.

    Returns:
        Maps (gradients, heads * R, *S), and what the terms' means over the head contribute,
        (gradients, heads * R).
    """
    heads, size = recorded.mixers[block].reshape.num_heads, gradients[0].shape[2:]
    head, by_region = recorded.head_at(block), [_by_voxel(g, heads) for g in gradients]
    inside = head.flatten().to(gradients[0].dtype)
    within = [(inside @ own.flatten(1)).view(heads, -1) for own in by_region]
    found, levels = [], []
    for term in recorded.terms_at(block):
        mean = masked_mean(term, head)
        if baseline is Baseline.MEAN:
            term = term - mean.view(1, -1, *[1] * len(size)) * head
        change = _by_voxel(term, heads)
        maps = [torch.einsum("vhd,vhd->vh", own, change) for own in by_region]
        found.append(torch.stack(maps).mT.unflatten(2, size))
        levels.append(torch.stack([(own * mean.view(heads, -1)).sum(1) for own in within]))
    return torch.stack(found, dim=2).flatten(1, 2), torch.stack(levels, dim=2).flatten(1, 2)


def summed_evidence(
    recorded: RecordedPass, block: str, gradient: Tensor, baseline: Baseline
) -> Tensor:
    """The sums over the voxels of what `block_evidence` says of one gradient, without its maps.

    Returns:
        (heads * R,).
    """
    heads, found = recorded.mixers[block].reshape.num_heads, []
    for term in recorded.terms_at(block):
        sums = (_by_channel(gradient) * _by_channel(term)).sum(0)
        if baseline is Baseline.MEAN:
            head = recorded.head_at(block)
            sums = sums - _by_channel(gradient * head).sum(0) * masked_mean(term, head)
        found.append(sums.view(heads, -1).sum(1))
    return torch.stack(found, dim=1).flatten()


def _by_channel(x: Tensor) -> Tensor:
    """A map (1, C, *S) as (voxels, C)."""
    return x[0].movedim(0, -1).flatten(0, -2)


def _by_voxel(x: Tensor, heads: int) -> Tensor:
    """A map (1, C, *S) as (voxels, heads, C / heads)."""
    return x[0].movedim(0, -1).reshape(-1, heads, x.shape[1] // heads)


def _summed(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {block: values.flatten(2).sum(-1) for block, values in maps.items()}


def enlarged(x: Tensor, size: Sequence[int], mode: str = "trilinear") -> Tensor:
    """A map (1, 1, *S) at a finer resolution with the same sum."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    share = float(np.prod(x.shape[2:]) / np.prod(size))
    return share * F.interpolate(x, size=tuple(size), mode=mode)
