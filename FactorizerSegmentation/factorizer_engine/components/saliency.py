"""The usual saliency maps, at the mixed map of a block and at the scans, beside evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import Baseline, head_mask, masked_mean
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.networks import Factorizer, finest

PARTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
"""Parts of the head's voxels that are deleted or inserted."""


class LogitProbe(ABC):
    """The logit of a region in a window as a function of a map inside the network.

    Args:
        probe: The window.
        region: Index of the region.
        values: The map as it is, (1, C, *S).
        head: Where the image shows the patient, boolean (1, 1, *S).
    """

    def __init__(self, probe: Probe, region: int, values: Tensor, head: Tensor) -> None:
        self._probe, self._region = probe, region
        self.values, self.head = values, head

    @abstractmethod
    def logits(self, values: Tensor) -> Tensor:
        """Logits (1, R, *roi_size) with another map."""

    def baseline(self, kind: Baseline) -> Tensor:
        """What takes the place of the whole map, (1, C, *S)."""
        if kind is Baseline.ZERO:
            return torch.zeros_like(self.values)
        mean = masked_mean(self.values, self.head)
        return mean.view(1, -1, *[1] * (self.values.ndim - 2)) * self.head

    def read(self, values: Tensor) -> Tensor:
        """The mean logit with another map, a scalar."""
        return self._probe.read(self.logits(values))[0, self._region]

    def gradient(self, values: Tensor) -> Tensor:
        """Of `read` with respect to the map, (1, C, *S)."""
        leaf = values.detach().clone().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.read(leaf), leaf)[0]

    def curve(
        self, saliency: Tensor, baseline: Tensor, inserted: bool, check: Callable[[], None]
    ) -> list[float]:
        """Mean logits with `PARTS` of the head deleted or inserted, the most salient voxels first.

        Args:
            saliency: Of every voxel, (1, 1, *S).
            baseline: What takes the place of the map, (1, C, *S).
            inserted: Whether voxels are put in rather than deleted.
            check: Called before every run of the network; raises where it is to stop.
        """
        places = self.head.flatten().nonzero().squeeze(1)
        order = places[saliency.flatten()[places].argsort(descending=True, stable=True)]
        logits = []
        for part in PARTS:
            check()
            chosen = torch.zeros_like(self.head).flatten()
            chosen[order[: round(part * len(order))]] = True
            kept = (chosen if inserted else ~chosen).view_as(self.head) | ~self.head
            with torch.no_grad():
                logits.append(float(self.read(torch.where(kept, self.values, baseline))))
        return logits


class BlockProbe(LogitProbe):
    """A `LogitProbe` of the mixed map of one block.

    Args:
        recorded: The window's pass.
        block: Name of the block.
        probe, region: As there.
    """

    def __init__(self, recorded: RecordedPass, block: str, probe: Probe, region: int) -> None:
        super().__init__(probe, region, recorded.mixed[block].detach(), recorded.head_at(block))
        self._recorded, self._block = recorded, block

    def logits(self, values: Tensor) -> Tensor:
        return self._recorded.behind(self._block, values)


class ScanProbe(LogitProbe):
    """A `LogitProbe` of the scans in a window, as the network reads them.

    Args:
        network: In evaluation mode.
        probe, region: As there.
    """

    def __init__(self, network: Factorizer, probe: Probe, region: int) -> None:
        head = head_mask(probe.image, probe.image.shape[2:])
        super().__init__(probe, region, probe.image, head)
        self._network = network

    def logits(self, values: Tensor) -> Tensor:
        return finest(self._network(values))


def grad_cam(gradient: Tensor, values: Tensor, head: Tensor) -> Tensor:
    """Channels (1, C, *S) times their mean gradients over the head, before the sum and its ReLU.

    Selvaraju et al., *Grad-CAM*, ICCV 2017, equations 1 and 2.
    """
    weights = masked_mean(gradient, head)
    return weights.view(1, -1, *[1] * (values.ndim - 2)) * values


def integrated_gradients(
    gradient: Callable[[Tensor], Tensor], values: Tensor, baseline: Tensor, steps: int
) -> Tensor:
    """Gradients averaged on the way from the baseline, times the difference, (1, C, *S).

    Sundararajan et al., *Axiomatic attribution for deep networks*, ICML 2017, equation 3, at the
    middles of `steps` equal parts of the way.
    """
    change = values - baseline
    total = torch.zeros_like(values)
    for step in range(steps):
        total += gradient(baseline + (step + 0.5) / steps * change)
    return change * total / steps
