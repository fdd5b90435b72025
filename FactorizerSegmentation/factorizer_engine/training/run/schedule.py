"""How far a run is, and the learning rate that follows."""

from __future__ import annotations

import math
import time

from factorizer_engine.training.config import OptimizationSection


def learning_rate(progress: float, peak: float, warmup: float) -> float:
    """Linear from a tenth of `peak` during the warm-up, then cosine to zero.

    Args:
        progress: Done fraction of the run, 0 to 1.
        warmup: Fraction of the run that warms up.
    """
    if progress < warmup:
        return peak * (0.1 + 0.9 * progress / warmup)
    angle = math.pi * min(1.0, (progress - warmup) / max(1e-12, 1.0 - warmup))
    return peak * 0.5 * (1.0 + math.cos(angle))


class Budget:
    """Counts steps and seconds of a run over all its resumptions.

    Args:
        settings: Steps, seconds by which clock, and which of them drives the schedule.
        seconds: Training time spent before this process started.
    """

    def __init__(self, settings: OptimizationSection, seconds: float = 0.0) -> None:
        self._settings = settings
        self._before = seconds
        self._clock = time.process_time if settings.clock == "processor" else time.monotonic
        self._started = self._clock()

    @property
    def seconds(self) -> float:
        """Training time so far, all resumptions together."""
        return self._before + self._clock() - self._started

    def progress(self, step: int) -> float:
        """Done fraction after `step` steps, 0 to 1, by steps or by time as configured."""
        by_steps, limit = step / self._settings.steps, self._settings.max_seconds
        if self._settings.schedule == "steps" or limit is None:
            return min(1.0, by_steps)
        return min(1.0, max(by_steps, self.seconds / limit))

    def is_spent(self, step: int) -> bool:
        """Whether the run has to end after `step` steps."""
        limit = self._settings.max_seconds
        return step >= self._settings.steps or (limit is not None and self.seconds >= limit)
