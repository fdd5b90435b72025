"""Measuring on a noisy machine: contestants take turns, and ratios are taken within a turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

import torch

Sample = TypeVar("Sample")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What is the same for all contestants.

    Attributes:
        device: Where networks run.
        precision: float32, or the type of autocast.
        rounds: Turns of every contestant after its warm-up.
        threads: Threads of torch on the CPU.
        say: Told what is being measured.
    """

    device: torch.device
    precision: torch.dtype
    rounds: int
    threads: int
    say: Say

    @contextmanager
    def computing(self, gradients: bool = False):
        """Inference, or training, in the precision of the setting."""
        half = self.precision != torch.float32
        with (
            torch.inference_mode(not gradients),
            torch.autocast(self.device.type, self.precision, enabled=half),
        ):
            yield


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: What belongs together.
        name: What was measured.
        seconds: One sample per turn.
        memory: Peak memory in bytes.
        parameters: Trainable numbers.
        operations: Floating-point operations of matrix products and convolutions; a multiply-add
            counts as two.
        ratios: Median over the turns of this time over that of another contestant, by its name.
        difference: From the reference, relative to its largest value.
        note: Anything else.
    """

    section: str
    name: str
    seconds: Sequence[float] = ()
    memory: int | None = None
    parameters: int | None = None
    operations: int | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    difference: float | None = None
    note: str = ""

    @property
    def median(self) -> float | None:
        """The median time in seconds, None if nothing was timed."""
        return median(self.seconds) if self.seconds else None


def take_turns(
    contestants: Mapping[str, Callable[[], Sample]], rounds: int, say: Say = lambda text: None
) -> dict[str, list[Sample]]:
    """Call the contestants in turn (A B C A B C ...); what the first round returns is left out.

    Whatever slows the machine down for a while then slows all of them down, not one.

    Args:
        contestants: By name; what they return is a sample, such as their time.
        rounds: Samples of each.
        say: Told whose turn it is.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    gc.collect()
    gc.disable()  # collecting takes longer than a small layer
    try:
        for turn in range(rounds + 1):
            for name, contestant in contestants.items():
                say(f"{name}, {f'round {turn} of {rounds}' if turn else 'warm-up'}")
                sample = contestant()
                if turn:
                    samples[name].append(sample)
    finally:
        gc.enable()
    return samples


def stopwatch(
    run: Callable[[Any], Any], device: torch.device, prepare: Callable[[], Any] = lambda: None
) -> Callable[[], float]:
    """A contestant that times `run` of what `prepare` returned; `prepare` is not timed."""

    def timed() -> float:
        prepared = prepare()
        synchronize(device)
        start = time.perf_counter()
        result = run(prepared)
        synchronize(device)
        seconds = time.perf_counter() - start
        del result
        return seconds

    return timed


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Median over the turns of one contestant's time over the other's."""
    return median(a / b for a, b in zip(times, others, strict=True))
