"""Loss of overlapping regions, alone or over several resolutions."""

from __future__ import annotations

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

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of (B, R, *S) logits against masks of the same shape."""
        logits = logits.float()
        return self._dice(logits, target) + F.binary_cross_entropy_with_logits(logits, target)


class DeepSupervisionLoss(nn.Module):
    """A weighted mean of the loss of every output of a network, the finest first.

    Coarser outputs are compared with masks averaged over their voxels.

    Args:
        loss: Loss of one output.
        weights: One per output; normalised to sum to one.
    """

    def __init__(self, loss: nn.Module, weights: Sequence[float]) -> None:
        super().__init__()
        self._loss = loss
        self._weights = tuple(weights)

    def forward(self, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            return self._loss(outputs, target)
        weights = torch.tensor(self._weights[: len(outputs)])
        losses = (
            weight * self._loss(output, F.adaptive_avg_pool3d(target, triple(output.shape[2:])))
            for output, weight in zip(outputs, (weights / weights.sum()).tolist(), strict=True)
        )
        return reduce(operator.add, losses)
