"""Heads around stripped brains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.training.windows import NOTHING
from factorizer_engine.training.data import heads
from factorizer_engine.training.data.heads import add_head
from factorizer_engine.training.data.sampling import WindowDataset


def stripped_window() -> torch.Tensor:
    """Z-scores in the middle of a window, zero around."""
    image = torch.zeros(2, 24, 24, 24)
    image[:, 8:16, 8:16, 8:16] = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    return image


def test_a_head_surrounds_the_brain_and_normalises_it_anew():
    image = stripped_window()
    brain = image[0] != 0
    with_black_air = 0
    for seed in range(12):
        changed = add_head(image, (2.0, 2.0, 2.0), np.random.default_rng(seed))
        for own, new in zip(image, changed, strict=True):
            first, second = own[brain][:2], new[brain][:2]
            slope = (second[1] - second[0]) / (first[1] - first[0])
            expected = second[0] + slope * (own[brain] - first[0])
            assert slope > 0 and torch.allclose(new[brain], expected, atol=1e-4)
        assert ((changed != 0).all(dim=0) & ~brain).sum() > 500
        with_black_air += int(changed[0, 0, 0, 0] == 0)
    assert 0 < with_black_air < 12


def test_air_beyond_the_brain_needs_no_brain_in_the_window():
    changed = add_head(torch.zeros(2, 8, 8, 8), (1.0, 1.0, 1.0), np.random.default_rng(3))
    assert torch.isfinite(changed).all()


def test_the_statistics_of_a_mixture_are_those_of_its_samples():
    generator = np.random.default_rng(0)
    zero, levels = -3.0, np.array([0.3, 0.1, 2.0, 0.6])
    shares = np.array([0.1, 0.1, 0.2, 0.1, 0.2])
    counts = (np.array([0.3, *shares]) * 200_000).astype(int)
    means = [0.0, *(zero * (1 - levels)), zero]
    spreads = [1.0, *[0.6] * 4, 0.0]
    values = np.concatenate(
        [generator.normal(m, s, n) for m, s, n in zip(means, spreads, counts, strict=True)]
    )
    found = heads._statistics(zero, levels, shares)
    assert found == pytest.approx((values.mean(), values.std()), rel=0.02, abs=0.01)


def test_windows_lie_further_out_only_with_a_head(prepared):
    cache, names = prepared
    shares = []
    for probability in (0.0, 1.0):
        settings = NOTHING.model_copy(update={"head": probability})
        windows = WindowDataset(cache, names, (12, 12, 12), settings, foreground=0.0, seed=3)
        centers = [
            windows._center(cache.get(names[0]), np.random.default_rng(n), 0.0, 25.0 * probability)
            for n in range(30)
        ]
        shares.append(np.mean([(c < 5.5).any() or (c > 15).any() for c in centers]))
        assert all(torch.isfinite(windows[n][0]).all() for n in range(4))
    assert shares[0] < shares[1]
