"""What stays of components' maps when the windows lie elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.capture import Capture, count_of, pooled_to
from factorizer_engine.components.definition import channel_of
from factorizer_engine.components.evidence import Evidence
from factorizer_engine.components.moments import Moments
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.inference.windows import WindowPlan, blending_weights
from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.progress import Monitor

SHIFT = 8
"""Voxels by which the windows are shifted along the first axis."""


def activity_kept(
    capture: Capture, padded: Tensor, plan: WindowPlan, device: torch.device, monitor: Monitor
) -> np.ndarray:
    """Correlation of the activity in every window and in the same one shifted along one axis."""
    moments = {
        block: [Moments(1, 1) for _ in range(count_of(mixer))]
        for block, mixer in capture.mixers.items()
    }
    blending = blending_weights(plan.roi_size, plan.blending)
    shifted = F.pad(padded, (0, 0, 0, 0, SHIFT, 0))
    for done, window in enumerate(plan.windows, start=1):
        monitor.check()
        place = in_all_channels(window)
        image, moved = (volume[place][None].to(device) for volume in (padded, shifted))
        before, after = capture(image), capture(moved)
        head = (image != 0).any(dim=1)[0].float().cpu() * blending
        for block, own in before.items():
            first, second, weights = _overlapping(own, after[block], head)
            for row, moment in enumerate(moments[block]):
                moment.add(first[row][None], second[row][None], weights)
        monitor.report("describing", done / len(plan.windows))
    kept = [float(m.correlations()) for block in capture.mixers for m in moments[block]]
    return np.array(kept)


def evidence_kept(
    before: Evidence,
    after: Evidence,
    mixers: Mapping[str, FactMixer],
    terms: Sequence[Term],
    decisive: np.ndarray,
) -> np.ndarray:
    """Correlation of the evidence for `decisive` regions in probes and in the shifted ones."""
    moments = [Moments(1, 1) for _ in terms]
    for window, moved in zip(before.windows, after.windows, strict=True):
        image = window.probe.image
        head = (image != 0).any(dim=1)[0].float().cpu()
        for row, term in enumerate(terms):
            channel = channel_of(term, mixers)
            first, second = (
                found.maps[term.block][decisive[row], channel][None].cpu()
                for found in (window, moved)
            )
            first, second, weights = _overlapping(first, second, head)
            moments[row].add(first, second, weights)
    return np.array([float(moment.correlations()) for moment in moments])


def _overlapping(first: Tensor, second: Tensor, head: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two maps where both saw the same.

    Args:
        first: (N, *S) of a window.
        second: (N, *S) of the window `SHIFT` voxels before it along the first axis.
        head: Weight of every voxel of the first window, (*roi_size).

    Returns:
        The maps, (N, V) each, and the weights (V,), at the block's resolution.
    """
    step = head.shape[0] // first.shape[1]
    if SHIFT % step:  # the block is coarser than the shift
        size, step = tuple(n // SHIFT for n in head.shape), SHIFT
        first, second = (
            F.interpolate(x[None], size=size, mode="trilinear")[0] for x in (first, second)
        )
    by = SHIFT // step
    kept = first.shape[1] - by
    weights = pooled_to(head[None], first)[0]
    return first[:, :kept].flatten(1), second[:, by:].flatten(1), weights[:kept].flatten()
