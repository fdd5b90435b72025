"""Compiling the mixing kernels before a network needs them, as a stage of its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import torch
from torch import nn

from factorizer_engine.factorization.backends import BACKENDS
from factorizer_engine.networks import FactMixer, named_mixers
from factorizer_engine.protocol.progress import Monitor

PREPARING_KERNELS = "preparing the fast kernels"


def prepare_kernels(
    networks: Iterable[nn.Module], device: torch.device, dtype: torch.dtype, monitor: Monitor
) -> None:
    """Compile the kernels that these networks take there, or load them from the cache.

    Says so only where kernels are not ready; does nothing from the second call on.

    Args:
        networks: Of any kind; only those with mixers matter.
        device, dtype: Where and in which precision they run.
        monitor: Told of the stage, at its beginning.

    Raises:
        CancelledError: If the monitor was cancelled.
    """
    for mixer, kernels in product(_mixers(networks), BACKENDS):
        if kernels.is_waiting(mixer.reshape, device, dtype):
            monitor.report(PREPARING_KERNELS, 0.0)
            kernels.prepare(mixer.reshape, device, dtype)


def prepare_gradient_kernels(
    networks: Iterable[nn.Module], device: torch.device, dtype: torch.dtype, monitor: Monitor
) -> None:
    """`prepare_kernels` for networks that are about to be differentiated."""
    for mixer, kernels in product(_mixers(networks), BACKENDS):
        if kernels.is_waiting_to_mix(mixer.reshape, device, dtype):
            monitor.report(PREPARING_KERNELS, 0.0)
            kernels.prepare_to_mix(mixer.reshape, device, dtype)


def _mixers(networks: Iterable[nn.Module]) -> list[FactMixer]:
    mixers = (mixer for network in networks for _, mixer in named_mixers(network))
    return [mixer for mixer in mixers if mixer.has_fast_path]
