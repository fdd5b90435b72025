"""Moving batches between the host and the device while the device computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arrival:
    """Something on its way; `wait` gives it when it is there."""

    wait: Callable[[], Tensor]


class Transfers:
    """Copies made at once, for devices that cannot copy and compute at the same time.

    Args:
        device: Where networks compute.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, batch: Tensor) -> Arrival:
        """Begin to bring a tensor from the host to the device."""
        moved = batch.to(self._device)
        return Arrival(lambda: moved)

    def fetch(self, result: Tensor, place: torch.device) -> Arrival:
        """Begin to bring what was computed on the device to `place`, the host or the device."""
        moved = result.to(place)
        return Arrival(lambda: moved)


class CudaTransfers(Transfers):
    """Copies through pinned memory in a stream of their own, beside the computation.

    Waiting for what was fetched also waits until it is computed, so that the host never runs more
    than one batch ahead, and progress and cancelling mean what they say.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._stream = torch.cuda.Stream(device)

    def send(self, batch: Tensor) -> Arrival:
        with torch.cuda.stream(self._stream):
            moved = batch.pin_memory().to(self._device, non_blocking=True)
            sent = self._stream.record_event()

        def wait() -> Tensor:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(sent)
            moved.record_stream(computing)
            return moved

        return Arrival(wait)

    def fetch(self, result: Tensor, place: torch.device) -> Arrival:
        computing = torch.cuda.current_stream(self._device)
        moved, done = result, computing.record_event()
        if place.type == "cpu":
            self._stream.wait_event(done)
            with torch.cuda.stream(self._stream):
                moved = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
                moved.copy_(result, non_blocking=True)
                done = self._stream.record_event()
            result.record_stream(self._stream)

        def wait() -> Tensor:
            done.synchronize()
            return moved

        return Arrival(wait)


def transfers_for(device: torch.device) -> Transfers:
    """The way of copying that suits a device."""
    return CudaTransfers(device) if device.type == "cuda" else Transfers(device)
