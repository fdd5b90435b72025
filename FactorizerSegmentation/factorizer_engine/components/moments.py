"""Correlations over more voxels than are kept: weighted sums, added up window by window."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Weighted first and second moments of maps and of what they are compared with.

    Args:
        maps: How many maps.
        targets: How many quantities every map is compared with.
    """

    def __init__(self, maps: int, targets: int) -> None:
        self._weight = 0.0
        self._maps = torch.zeros(2, maps, dtype=torch.float64)
        self._targets = torch.zeros(2, targets, dtype=torch.float64)
        self._products = torch.zeros(maps, targets, dtype=torch.float64)

    def add(self, maps: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Add voxels: maps (maps, N), targets (targets, N), and the weight of every voxel (N,)."""
        maps, targets, weights = maps.double(), targets.double(), weights.double()
        weighted = maps * weights
        self._weight += float(weights.sum())
        self._maps += torch.stack([weighted.sum(1), (weighted * maps).sum(1)])
        self._targets += torch.stack([targets @ weights, targets.square() @ weights])
        self._products += weighted @ targets.T

    def correlations(self) -> Tensor:
        """Pearson's, (maps, targets); 0 where something does not vary."""
        covariance, (maps, targets) = self._covariance(), self._deviations()
        scale = maps[:, None] * targets
        return torch.where(scale > 0, covariance / scale.clamp(min=1e-300), 0.0)

    def elevations(self) -> Tensor:
        """Where targets are parts of regions: how far the maps are above their means in there.

        Returns:
            In standard deviations of the map, (maps, targets); NaN where a target is nowhere.
        """
        covariance, (maps, _) = self._covariance(), self._deviations()
        means = self._targets[0] / max(self._weight, 1e-300)
        scale = maps[:, None] * means
        elevations = torch.where(scale > 0, covariance / scale.clamp(min=1e-300), 0.0)
        return elevations.masked_fill(means <= 0, torch.nan)

    def _covariance(self) -> Tensor:
        weight = max(self._weight, 1e-300)
        return self._products / weight - torch.outer(self._maps[0], self._targets[0]) / weight**2

    def _deviations(self) -> tuple[Tensor, Tensor]:
        weight = max(self._weight, 1e-300)
        maps, targets = (
            sums[1] / weight - (sums[0] / weight) ** 2 for sums in (self._maps, self._targets)
        )
        return _root(maps), _root(targets)


def _root(variances: Tensor) -> Tensor:
    """Without what rounding leaves of maps that do not vary."""
    return torch.where(variances > 1e-12, variances.clamp(min=0.0).sqrt(), 0.0)
