"""The usual saliency maps at the mixed map of a block, to compare evidence with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, masked_mean
from factorizer_engine.components.passes import RecordedPass


class BlockProbe:
    """The logit of a region in a window as a function of the mixed map of one block.

    Args:
        recorded: The window's pass.
        block: Name of the block.
        probe: The window.
        region: Index of the region.
    """

    def __init__(self, recorded: RecordedPass, block: str, probe: Probe, region: int) -> None:
        self._recorded, self._block = recorded, block
        self._probe, self._region = probe, region
        self.mixed = recorded.mixed[block].detach()
        self.head = recorded.head_at(block)

    def baseline(self, kind: Baseline) -> Tensor:
        """What takes the place of the whole mixed map, (1, C, *S)."""
        if kind is Baseline.ZERO:
            return torch.zeros_like(self.mixed)
        mean = masked_mean(self.mixed, self.head)
        return mean.view(1, -1, *[1] * (self.mixed.ndim - 2)) * self.head

    def read(self, mixed: Tensor) -> Tensor:
        """The mean logit with another mixed map, a scalar."""
        logits = self._recorded.behind(self._block, mixed)
        return self._probe.read(logits)[0, self._region]

    def gradient(self, mixed: Tensor) -> Tensor:
        """Of `read` with respect to the mixed map, (1, C, *S)."""
        leaf = mixed.detach().clone().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.read(leaf), leaf)[0]


def grad_cam(gradient: Tensor, mixed: Tensor, head: Tensor) -> Tensor:
    """Channels (1, C, *S) times their mean gradients over the head, before the sum and its ReLU.

    Selvaraju et al., *Grad-CAM*, ICCV 2017, equations 1 and 2.
    """
    weights = masked_mean(gradient, head)
    return weights.view(1, -1, *[1] * (mixed.ndim - 2)) * mixed


def integrated_gradients(
    gradient: Callable[[Tensor], Tensor], mixed: Tensor, baseline: Tensor, steps: int
) -> Tensor:
    """Gradients averaged on the way from the baseline, times the difference, (1, C, *S).

    Sundararajan et al., *Axiomatic attribution for deep networks*, ICML 2017, equation 3, at the
    middles of `steps` equal parts of the way.
    """
    change = mixed - baseline
    total = torch.zeros_like(mixed)
    for step in range(steps):
        total += gradient(baseline + (step + 0.5) / steps * change)
    return change * total / steps
