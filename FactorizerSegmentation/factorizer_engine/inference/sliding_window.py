"""Networks slid over a volume of any size."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.store import IN_MEMORY, Store
from factorizer_engine.inference.compiling import CompiledNetwork
from factorizer_engine.inference.device import free_memory
from factorizer_engine.inference.transfers import Arrival, transfers_for
from factorizer_engine.inference.windows import Blender, Box, Copy, WindowPlan
from factorizer_engine.networks import finest
from factorizer_engine.protocol.errors import InternalError
from factorizer_engine.protocol.progress import Monitor

EMPTY_LOGIT = -20.0
"""Logit where no window was run: a probability of 2e-9."""

_LEAST = 1e-6
"""Probabilities are held this far from 0 and 1, where their logits are infinite."""


class Watcher(Protocol):
    """Sees networks at work on windows, and leaves what they compute as it is."""

    def watching(
        self, network: nn.Module, windows: Sequence[Box], copy: Copy
    ) -> AbstractContextManager[object]:
        """Around one call of a network.

        Args:
            network: Of the ensemble.
            windows: Their places in the padded volume, one a sample of the batch.
            copy: How they are shown.
        """
        ...


@dataclass(frozen=True)
class Ensemble:
    """Networks whose logits are averaged; one stands for itself.

    Attributes:
        networks: In evaluation mode, on `device`.
        out_channels: Outputs of each.
        device: Where they compute.
        dtype: float32, or the type of autocast.
    """

    networks: Sequence[nn.Module | CompiledNetwork]
    out_channels: int
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32

    def mean_logits(
        self,
        batch: Tensor,
        copies: Sequence[Copy],
        monitor: Monitor,
        windows: Sequence[Box] = (),
        watcher: Watcher | None = None,
    ) -> Tensor:
        """Mean over networks and copies, float32, (B, out_channels, *S) of (B, C, *S).

        Args:
            batch: On `device`.
            copies: How it is shown to each network, see `WindowPlan.copies`.
            monitor: Asked before every call of a network whether to stop.
            windows: Where the samples of the batch lie.
            watcher: Sees networks that are not compiled at work.
        """

        def logits_of(network: nn.Module | CompiledNetwork, copy: Copy) -> Tensor:
            monitor.check()
            watched: AbstractContextManager[object] = nullcontext()
            if watcher is not None and isinstance(network, nn.Module):
                watched = watcher.watching(network, windows, copy)
            with watched:
                logits = finest(network(copy.of(batch))).float()
            return logits.flip(copy.flip) if copy.flip else logits

        first, *others = product(self.networks, copies)
        total = logits_of(*first)
        for network, copy in others:
            total.add_(logits_of(network, copy))
        return total.div_(1 + len(others)) if others else total


def predict_windows(
    ensemble: Ensemble,
    volume: np.ndarray,
    plan: WindowPlan,
    batch_size: int = 1,
    monitor: Monitor | None = None,
    store: Store = IN_MEMORY,
    sums_on_host: bool = False,
    watcher: Watcher | None = None,
) -> np.ndarray:
    """Logits of a whole volume: mean over networks and copies, blended over windows.

    While the networks compute, the next batch is brought to the device and the one before is
    blended: on the device if the sums fit there, else on the host.

    Windows lie as in MONAI's `sliding_window_inference`, and the result is the same at every voxel
    that is nonzero in any channel; windows of zeros alone are not run (see `plan_windows`). Voxels
    that no window covers, or that were not asked for, get `EMPTY_LOGIT`.

    Args:
        ensemble: The networks.
        volume: float32, (C, X, Y, Z), zero outside the patient.
        plan: The windows of this volume.
        batch_size: Windows per call of a network, at most.
        monitor: Told after every batch, and asked before every call whether to stop.
        store: Where the sums are kept, if on the host.
        sums_on_host: Keep them there in any case.
        watcher: Sees the networks at work.

    Returns:
        float32, (out_channels, X, Y, Z).
    """
    monitor = monitor or Monitor()
    device, dtype, copies = ensemble.device, ensemble.dtype, plan.copies
    place = torch.device("cpu") if sums_on_host else _place_of_sums(plan, ensemble)
    blender = Blender(plan, ensemble.out_channels, place, store)
    padded = plan.pad(torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)))
    transfers = transfers_for(device)

    def send(windows: Sequence[Box]) -> Arrival:
        return transfers.send(torch.stack([padded[in_all_channels(window)] for window in windows]))

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
            logits = ensemble.mean_logits(batch, copies, monitor, windows, watcher)
            computed.append((windows, transfers.fetch(logits, blender.device)))
            if number > 0:
                blend(*computed.pop(0))
        for last in computed:
            blend(*last)
        return blender.result(EMPTY_LOGIT)


def check_numbers(logits: np.ndarray, model: str, dtype: torch.dtype) -> None:
    """Refuse logits that are NaN or infinite, which a threshold would turn into "nothing".

    Args:
        logits: Of any shape.
        model: Name of the model that gave them.
        dtype: In which it computed.

    Raises:
        InternalError: If some are.
    """
    if np.isfinite(logits.sum(dtype=np.float64)):
        return
    remedy = (
        "use another model or check the scans"
        if dtype == torch.float32
        else "use the number format float32"
    )
    raise InternalError(
        f"The network of {model} gave numbers that are not finite (NaN or infinite), so there is "
        f"no result; {remedy}."
    )


def sigmoid_(logits: np.ndarray) -> np.ndarray:
    """Turn logits (R, X, Y, Z), float32, into probabilities in place, without a second volume."""
    torch.from_numpy(logits).sigmoid_()
    return logits


def logit(probabilities: np.ndarray) -> np.ndarray:
    """The logits of probabilities, finite also for those of 0 and 1."""
    held = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.log(held / (1 - held))


def _batches(windows: Sequence[Box], size: int) -> list[Sequence[Box]]:
    """As few batches of at most `size` windows as possible, as equal as possible."""
    count = -(-len(windows) // size)
    ends = [len(windows) * number // count for number in range(count + 1)] if count else [0]
    return [windows[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def _place_of_sums(plan: WindowPlan, ensemble: Ensemble) -> torch.device:
    """Where the networks are if the sums take less than half of what is free there, or the host."""
    needed = Blender.bytes_needed(plan, ensemble.out_channels)
    fits = needed < free_memory(ensemble.device) / 2
    return ensemble.device if fits else torch.device("cpu")
