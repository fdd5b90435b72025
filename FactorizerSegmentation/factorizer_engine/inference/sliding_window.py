"""Networks slid over a volume of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from factorizer_engine.inference.compiling import CompiledNetwork
from factorizer_engine.inference.device import free_memory
from factorizer_engine.inference.transfers import Arrival, transfers_for
from factorizer_engine.inference.windows import Blender, Box, WindowPlan, plan_windows
from factorizer_engine.networks import finest
from factorizer_engine.protocol.progress import Monitor

EMPTY_LOGIT = -20.0
"""Logit where no window was run: a probability of 2e-9."""


def predict_windows(
    networks: Sequence[nn.Module | CompiledNetwork],
    volume: np.ndarray,
    roi_size: Sequence[int],
    *,
    out_channels: int,
    overlap: float = 0.5,
    blending: str = "gaussian",
    mirror_axes: Sequence[int] = (),
    region: Box | None = None,
    centred: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    batch_size: int = 1,
    monitor: Monitor | None = None,
) -> np.ndarray:
    """Logits of a whole volume: mean over networks and mirrored copies, blended over windows.

    While the networks compute, the next batch is brought to the device and the one before is
    blended: on the device if the sums fit there, else on the host.

    Windows lie as in MONAI's `sliding_window_inference`, and the result is the same at every voxel
    that is nonzero in any channel; windows of zeros alone are not run (see `plan_windows`) and
    voxels that no window covers get `EMPTY_LOGIT`.

    Args:
        networks: In evaluation mode, on `device`.
        volume: float32, (C, X, Y, Z), zero outside the patient.
        roi_size: Voxels of a window; smaller volumes are padded with zeros.
        out_channels: Outputs of the networks.
        overlap: Part of a window shared with the next, 0 to below 1.
        blending: "gaussian" or "constant".
        mirror_axes: Spatial axes (0 to 2) along which windows are mirrored too, in every way.
        region: Part of the volume that is asked for; only windows that touch it are run, and the
            rest of the result is `EMPTY_LOGIT`.
        centred: Lay the windows around the region, see `plan_windows`.
        device: Where the networks are.
        dtype: float32, or the type of autocast.
        batch_size: Windows per call of a network, at most.
        monitor: Told after every batch, and asked before every call whether to stop.

    Returns:
        float32, (out_channels, X, Y, Z).
    """
    monitor = monitor or Monitor()
    device = torch.device(device)
    plan = plan_windows(volume, roi_size, overlap, region, centred)
    blender = Blender(plan, out_channels, blending, _place_of_sums(plan, out_channels, device))
    padded = plan.pad(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)))
    flips = mirrorings(mirror_axes)
    transfers = transfers_for(device)

    def send(windows: Sequence[Box]) -> Arrival:
        return transfers.send(torch.stack([padded[(slice(None), *window)] for window in windows]))

    def blend(windows: Sequence[Box], logits: Arrival) -> None:
        for window, values in zip(windows, logits.wait(), strict=True):
            blender.add(window, values)
        blended.extend(windows)
        monitor.report("segmenting", len(blended) / len(plan.windows))

    blended: list[Box] = []
    batches = _batches(plan.windows, batch_size)
    with torch.inference_mode(), torch.autocast(device.type, dtype, dtype != torch.float32):
        coming = [send(windows) for windows in batches[:1]]
        computed: list[tuple[Sequence[Box], Arrival]] = []
        for number, windows in enumerate(batches):
            batch = coming.pop().wait()
            coming += [send(following) for following in batches[number + 1 : number + 2]]
            logits = _mean_logits(networks, batch, flips, monitor)
            computed.append((windows, transfers.fetch(logits, blender.device)))
            if number > 0:
                blend(*computed.pop(0))
        for last in computed:
            blend(*last)
        return blender.result(EMPTY_LOGIT)


def sigmoid_(logits: np.ndarray) -> np.ndarray:
    """Turn logits (R, X, Y, Z), float32, into probabilities in place, without a second volume."""
    torch.from_numpy(logits).sigmoid_()
    return logits


def mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All combinations of mirrored axes of a batch (B, C, X, Y, Z), beginning with none."""
    dims = [axis + 2 for axis in sorted(set(axes))]
    return [flip for count in range(len(dims) + 1) for flip in combinations(dims, count)]


def _mean_logits(
    networks: Sequence[nn.Module | CompiledNetwork],
    batch: Tensor,
    flips: Sequence[tuple[int, ...]],
    monitor: Monitor,
) -> Tensor:
    total: Tensor | None = None
    for network in networks:
        for flip in flips:
            monitor.check()
            logits = finest(network(batch.flip(flip) if flip else batch)).float()
            logits = logits.flip(flip) if flip else logits
            total = logits if total is None else total.add_(logits)
    count = len(networks) * len(flips)
    return total if count == 1 else total.div_(count)


def _batches(windows: Sequence[Box], size: int) -> list[Sequence[Box]]:
    """As few batches of at most `size` windows as possible, as equal as possible."""
    count = -(-len(windows) // size)
    ends = [len(windows) * number // count for number in range(count + 1)] if count else [0]
    return [windows[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def _place_of_sums(plan: WindowPlan, channels: int, device: torch.device) -> torch.device:
    """`device` if the sums take less than half of what is free there, else the host."""
    free = free_memory(device)
    if free is None or Blender.bytes_needed(plan, channels) < free / 2:
        return device
    return torch.device("cpu")
