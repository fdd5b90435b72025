"""The learning rate, and when a run ends."""

from __future__ import annotations

import pytest

from factorizer_engine.training.config import OptimizationSection
from factorizer_engine.training.run.schedule import Budget, learning_rate


def test_the_learning_rate_warms_up_and_ends_at_zero():
    rates = [learning_rate(p, 1.0, 0.1) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0])


def test_a_schedule_over_time_counts_the_seconds_of_earlier_parts():
    section = OptimizationSection(steps=100, max_seconds=1000, schedule="time")
    budget = Budget(section, seconds=500.0)
    assert budget.progress(step=3) == pytest.approx(0.5, abs=0.01)
    assert not budget.is_spent(3)
    assert Budget(section, seconds=1000.0).is_spent(3)
