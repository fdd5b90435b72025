"""Loss of overlapping regions, alone or over several resolutions."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn

from factorizer_engine.protocol.triples import triple


class RegionLoss(nn.Module):
    """Soft Dice (squared denominators) plus binary cross-entropy of sigmoid outputs.

    MONAI's `DiceCELoss` takes the cross-entropy of a softmax over the channels, which is wrong for
    regions that contain each other; here every region is its own yes-or-no question.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, squared_pred=True)

    def forward(self, logits: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
        """Scalar loss of (B, R, *S) logits against masks of the same shape.

        Args:
            logits: Output of the network.
            target: 0 to 1.
            known: Booleans of the same shape; others count in nothing. None means all.
        """
        logits = logits.float()
        if known is None:
            return self._dice(logits, target) + F.binary_cross_entropy_with_logits(logits, target)
        dice = self._dice(logits.masked_fill(~known, -math.inf), target)
        entropy = F.binary_cross_entropy_with_logits(logits, target, known.float(), reduction="sum")
        return dice + entropy / known.sum().clamp_min(1)


class DeepSupervisionLoss(nn.Module):
    """A weighted mean of the loss of every output of a network, the finest first.

    Coarser outputs are compared with masks averaged over their voxels.

    Args:
        loss: Loss of one output.
        weights: One per output; normalised to sum to one.
        partly_known: Whether targets may be negative, which means that nothing is known there.
    """

    def __init__(
        self, loss: nn.Module, weights: Sequence[float], partly_known: bool = False
    ) -> None:
        super().__init__()
        self._partly_known = partly_known
        self._loss = loss
        self._weights = tuple(weights)

    def forward(self, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            return self._loss_of(outputs, target)
        weights = torch.tensor(self._weights[: len(outputs)])
        losses = (
            weight * self._loss_of(output, target)
            for output, weight in zip(outputs, (weights / weights.sum()).tolist(), strict=True)
        )
        return reduce(operator.add, losses)

    def _loss_of(self, output: Tensor, target: Tensor) -> Tensor:
        shape = triple(output.shape[2:])
        if not self._partly_known:
            return self._loss(output, _averaged(target, shape))
        known = (target >= 0).float()
        share = _averaged(known, shape)
        mean = _averaged(target.clamp_min(0), shape) / share.clamp_min(1e-6)
        is_known = share >= 0.5
        return self._loss(output, mean.masked_fill(~is_known, 0), is_known)


def _averaged(masks: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Masks (B, R, *S) on a grid of as many or fewer voxels."""
    return masks if triple(masks.shape[2:]) == shape else F.adaptive_avg_pool3d(masks, shape)
