"""What components contribute: the change of a logit when one is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.definition import Baseline
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.factorization.threads import run_in_threads
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.inference.windows import Box, WindowPlan, blending_weights
from factorizer_engine.networks import Factorizer, finest
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

MAX_WINDOWS = 2
"""Windows in which contributions are measured: those that cover the lesion best."""

LEAST_GAIN = 0.05
"""Part of the lesion that a second window must add to be worth its time."""

SIDE_BY_SIDE = 4
"""Runs of the network's rest at a time; together they take less than an estimate's graph did."""


Watch = Callable[[Term, "Probe", Tensor], None]
"""Told of logits (R, *roi_size) in a probe when a term is left out, in any thread."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A copy of a window, as a network is shown it, in which logits are read.

    Attributes:
        image: (1, C, *roi_size).
        weights: (R, *roi_size), how much every voxel counts for the mean logit of every region.
            Over all probes of a set they sum up to 1 for each region.
        window: Its place in the padded volume.
        flip: Axes of (B, C, *S) along which it is mirrored.
    """

    image: Tensor
    weights: Tensor
    window: Box = (slice(None),) * 3
    flip: tuple[int, ...] = ()

    def read(self, logits: Tensor) -> Tensor:
        """The part of this window in the mean logits: (B, R) of logits (B, R, *roi_size)."""
        return torch.einsum("brxyz,rxyz->br", logits.float(), self.weights)


def place_probes(
    plan: WindowPlan,
    volume: np.ndarray,
    masks: np.ndarray,
    device: torch.device | str = "cpu",
    limit: int = MAX_WINDOWS,
    least: float = LEAST_GAIN,
) -> list[Probe]:
    """Choose the windows of the prediction that cover the lesion best.

    One after the other, the window is taken that adds most to the covered fractions of all regions
    together, until less than `least` of them is left to add or `limit` is reached. Every copy of a
    window is a probe of its own. Within them, voxels and copies are weighted as in the prediction,
    so with all windows the mean is that of the blended logits.

    Args:
        plan: The windows of the prediction.
        volume: (C, X, Y, Z).
        masks: Boolean, (R, X, Y, Z): where the logit of each region is averaged.
        device: Where the probes are needed.
        limit: Windows taken at most.
        least: Part of the regions, on average, that a further window must add.
    """
    padded_masks = plan.pad(torch.from_numpy(masks.astype(np.float32)))
    chosen = _best_windows(plan.windows, padded_masks, limit, least)
    window_weights = blending_weights(plan.roi_size, plan.blending)
    total = torch.zeros(plan.padded)
    for window in chosen:
        total[window] += window_weights
    seen = padded_masks * (total > 0)
    sizes = seen.sum(dim=(1, 2, 3)).clamp(min=1.0)
    share = seen / (total.clamp(min=1e-12) * sizes[:, None, None, None])
    padded = plan.pad(torch.from_numpy(volume))
    copies = plan.copies
    probes = []
    for window in chosen:
        image = padded[in_all_channels(window)][None].to(device)
        weights = (share[in_all_channels(window)] * window_weights / len(copies))[None].to(device)
        probes += [
            Probe(copy.of(image), weights.flip(copy.flip)[0], window, copy.flip) for copy in copies
        ]
    return probes


def shifted_probe(probe: Probe, padded: Tensor, by: int) -> Probe:
    """The probe with its window moved by some voxels towards lower indices of the first axis.

    Args:
        probe: In a window that is not mirrored.
        padded: The volume with the zeros of the plan around it, (C, X, Y, Z).
        by: Voxels.
    """
    moved = F.pad(padded, (0, 0, 0, 0, by, 0))[in_all_channels(probe.window)]
    weights = torch.roll(probe.weights, by, dims=1)
    weights[:, :by] = 0
    return replace(probe, image=moved[None].to(probe.image.device), weights=weights)


def measure_contributions(
    network: Factorizer,
    probes: Sequence[Probe],
    terms: Sequence[Term],
    batch_size: int = 1,
    monitor: Monitor | None = None,
    baseline: Baseline = Baseline.ZERO,
) -> np.ndarray:
    """How much the mean logit of every region falls when a component is left out.

    Its term is removed from the reconstruction in all windows and shifted grids of its block,
    and everything after is computed again.

    Args:
        network: In evaluation mode.
        probes: Where logits are read.
        terms: What is left out, one at a time.
        batch_size: Terms that are left out in one run of the network's rest, each in its own copy
            of the sample.
        monitor: Told after every batch, and asked whether to stop.
        baseline: What takes the place of a component.

    Returns:
        float64, (len(terms), R); positive where the component speaks for the region.
    """
    passes = [RecordedPass(network, probe.image) for probe in probes] if terms else []
    return measure_in_passes(passes, probes, terms, batch_size, monitor, baseline)


def measure_in_passes(
    passes: Sequence[RecordedPass],
    probes: Sequence[Probe],
    terms: Sequence[Term],
    batch_size: int = 1,
    monitor: Monitor | None = None,
    baseline: Baseline = Baseline.ZERO,
    watch: Watch | None = None,
) -> np.ndarray:
    """`measure_contributions` of terms of one network, whose passes over the probes are known.

    Args:
        passes, probes, terms, batch_size, monitor, baseline: As there.
        watch: Told of every term in every probe.
    """
    monitor = monitor or Monitor()
    regions = probes[0].weights.shape[0] if probes else 0
    contributions = np.zeros((len(terms), regions))
    progress = _Progress(monitor, len(probes) * len(terms))
    for probe, recorded in zip(probes, passes, strict=False):
        batches = _batches(terms, batch_size, list(recorded.mixers))
        contributions += _measure_in(recorded, probe, terms, batches, baseline, watch, progress)
    return contributions


def _measure_in(
    recorded: RecordedPass,
    probe: Probe,
    terms: Sequence[Term],
    batches: list[list[int]],
    baseline: Baseline,
    watch: Watch | None,
    progress: _Progress,
) -> np.ndarray:
    """The part of one probe in what terms contribute, (len(terms), R)."""
    original = probe.read(recorded.logits.detach()).double().cpu().numpy()
    contributions = np.zeros((len(terms), original.shape[1]))

    def leave_out(batch: list[int]) -> None:
        logits = recorded.without_each([terms[i] for i in batch], baseline)
        contributions[batch] = original - probe.read(logits).double().cpu().numpy()
        if watch is not None:
            for i, own in zip(batch, logits, strict=True):
                watch(terms[i], probe, own)
        progress.add(len(batch))

    # Two runs in a thread each take half the time of two one after the other in two threads.
    run_in_threads(leave_out, batches, SIDE_BY_SIDE if probe.image.device.type == "cpu" else 1)
    return contributions


class _Progress:
    """Tells a monitor how many of some components were measured, from any thread."""

    def __init__(self, monitor: Monitor, count: int) -> None:
        self._monitor, self._count, self._done, self._lock = monitor, count, 0, Lock()

    def add(self, done: int) -> None:
        with self._lock:
            self._done += done
            self._monitor.report("measuring components", self._done / self._count)


def _batches(terms: Sequence[Term], size: int, blocks: Sequence[str]) -> list[list[int]]:
    """Indices of terms that are left out in one run, each in its own copy: all of one block.

    Those of the blocks that are run first come first, since most of the network follows them.
    """
    by_block = ([i for i, term in enumerate(terms) if term.block == block] for block in blocks)
    return [own[start : start + size] for own in by_block for start in range(0, len(own), size)]


def mean_logits(network: Factorizer, probes: Sequence[Probe]) -> np.ndarray:
    """The mean logit of every region over the probes, float64, (R,)."""
    with torch.inference_mode():
        read = [probe.read(finest(network(probe.image)))[0] for probe in probes]
    return torch.stack(read).double().sum(dim=0).cpu().numpy()


def _best_windows(windows: Sequence[Box], masks: Tensor, limit: int, least: float) -> list[Box]:
    missing = masks.clone()
    sizes = missing.sum(dim=(1, 2, 3)).clamp(min=1.0)
    chosen: list[Box] = []
    while windows and len(chosen) < limit:
        gains = [
            float((missing[in_all_channels(window)].sum(dim=(1, 2, 3)) / sizes).sum())
            for window in windows
        ]
        best = int(np.argmax(gains))
        if gains[best] <= (least * len(masks) if chosen else 0):
            break
        chosen.append(windows[best])
        missing[in_all_channels(windows[best])] = 0
    return chosen
