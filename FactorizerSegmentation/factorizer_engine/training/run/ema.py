"""Exponential moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedWeights:
    """A second copy of a network that follows it slowly and generalises better.

    Early on the average is short, min(decay, (1 + n) / (10 + n)) after n updates, so that it does
    not remember the random start.

    Args:
        network: The network to follow; buffers are copied.
        decay: Part of the old average kept at every update; 0 follows exactly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        own: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(own, [p.detach() for p in network.parameters()], 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Tensor]:
        return self.network.state_dict()

    def load(self, weights: dict[str, Tensor], updates: int) -> None:
        """Continue from saved weights after `updates` updates."""
        self.network.load_state_dict(weights)
        self.updates = updates
