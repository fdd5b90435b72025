"""Losses of overlapping regions."""

from __future__ import annotations

import pytest
import torch

from factorizer_engine.training.run.losses import DeepSupervisionLoss, RegionLoss


def test_the_loss_is_lowest_for_the_right_answer():
    target = torch.zeros(1, 2, 4, 4, 4)
    target[:, :, :2] = 1
    right, wrong = (target * 2 - 1) * 9, (1 - target * 2) * 9
    loss = RegionLoss()
    assert loss(right, target) < 0.01 < 1.0 < loss(wrong, target)


def test_nested_regions_do_not_compete_in_the_loss():
    """Both regions hold everywhere; saying so for both must cost nothing."""
    target = torch.ones(1, 2, 4, 4, 4)
    assert RegionLoss()(target * 20, target) < 1e-3


def test_deep_supervision_weights_are_normalised():
    target = (torch.rand(1, 1, 8, 8, 8) > 0.5).float()
    outputs = [torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 4, 4, 4)]
    loss = DeepSupervisionLoss(lambda a, b: torch.tensor(3.0), (1, 0.5, 0.25))
    assert float(loss(outputs, target)) == pytest.approx(3.0)
