"""What is done with less where memory runs out on a device, one step after the other.

Fewer windows at once; sums on the host; smaller windows, for networks that take any; the processor.
The last step is taken at once where a device lacks an operation of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn

from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.errors import BadModelError, EngineMemoryError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.triples import triple
from factorizer_engine.protocol.wording import capitalised

_GRAIN = 32
"""Windows are made smaller by multiples of what five levels of halving need."""

CPU = torch.device("cpu")

MEMORY = "memory is short"
LACKING = "the graphics card lacks an operation that the model needs"
"""Why a step is taken."""

_LACKING_PHRASES = (
    "not currently implemented for", "not implemented for", "not supported on mps",
    "mps framework doesn't support", "no kernel image is available",
)  # fmt: skip
"""How torch says that a device, or its build of torch, lacks an operation."""

_SIZE_PHRASES = ("size of tensor", "sizes of tensors", "kernel size can't", "output size is too")
"""How torch says that maps do not fit each other, or are smaller than a network needs."""

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Means:
    """With what a volume is segmented.

    Attributes:
        device: Where the networks compute.
        roi_size: Size of the windows.
        windows: How many at once.
        sums_on_host: Whether what they say is added up on the host in any case.
    """

    device: torch.device
    roi_size: tuple[int, int, int]
    windows: int = 1
    sums_on_host: bool = False


@dataclass(frozen=True)
class Step:
    """A step down: with less, what to say of it, and why it is taken."""

    means: Means
    said: str
    why: str = MEMORY


def most(
    network: nn.Module, device: torch.device, roi_size: Sequence[int], say: Callable[[Step], None]
) -> Means:
    """The first means for which there seems to be room; the steps down to them are said.

    Raises:
        EngineMemoryError: If there is no room for any.
    """
    means = Means(device, triple(int(n) for n in roi_size))
    while True:
        try:
            return replace(means, windows=windows_at_once(network, means.roi_size, means.device))
        except EngineMemoryError:
            step = step_down(replace(means, windows=1, sums_on_host=True), network)
            if step is None:
                raise
        say(step)
        means = step.means


def descend(
    means: Means,
    network: nn.Module,
    attempt: Callable[[Means], Outcome],
    say: Callable[[Step], None],
) -> tuple[Outcome, Means]:
    """What an attempt gives with the first means with which it succeeds, and these.

    It is repeated with less where memory runs out, and on the processor where the device lacks an
    operation.

    Raises:
        EngineMemoryError: If memory runs out at the lowest step, too.
        BadModelError: If the network does not take windows of this size.
    """
    while True:
        try:
            with memory_errors(means.device):
                return attempt(means), means
        except EngineMemoryError:
            step = step_down(means, network)
            if step is None:
                raise
        except (RuntimeError, TypeError) as error:
            if _is_about_sizes(error):
                size = " x ".join(map(str, means.roi_size))
                raise BadModelError(
                    f"The network of the model does not work on its windows of {size} voxels; "
                    "have its maker correct the roi_size in its configuration.",
                    repr(error),
                ) from error
            if means.device.type == "cpu" or not lacks_operation(error):
                raise
            step = Step(Means(CPU, means.roi_size), "the processor in its place", LACKING)
        if means.device.type == "cuda":  # now that nothing of the attempt is left
            torch.cuda.empty_cache()
        say(step)
        means = step.means


def lacks_operation(error: Exception) -> bool:
    """Whether torch says that a device lacks an operation, as MPS and old graphics cards do."""
    text = str(error).lower()
    return any(phrase in text for phrase in _LACKING_PHRASES) or (
        isinstance(error, TypeError) and "mps" in text  # no float64
    )


def _is_about_sizes(error: Exception) -> bool:
    """Whether torch says that maps of a network do not fit each other, as with odd windows."""
    text = str(error).lower()
    return any(phrase in text for phrase in _SIZE_PHRASES)


def step_down(means: Means, network: nn.Module) -> Step | None:
    """The next step, or None where there is none."""
    on_host = means.device.type == "cpu"
    if means.windows > 1:
        fewer = replace(means, windows=means.windows // 2)
        return Step(fewer, f"{fewer.windows} of the windows at once")
    if not on_host and not means.sums_on_host:
        return Step(replace(means, sums_on_host=True), "adding up in the computer's memory")
    smaller = smaller_window(means.roi_size, network)
    if smaller is not None:
        size = " x ".join(map(str, smaller))
        return Step(replace(means, roi_size=smaller), f"smaller windows ({size})")
    if not on_host:
        return Step(Means(CPU, means.roi_size), "the processor instead of the graphics card")
    return None


def smaller_window(
    roi_size: tuple[int, int, int], network: nn.Module
) -> tuple[int, int, int] | None:
    """About half the window along every axis; None where the network or its levels forbid it."""
    if isinstance(network, Factorizer):  # its position embedding has the size of the window
        return None
    smaller = triple(min(n, max(_GRAIN, -(-n // (2 * _GRAIN)) * _GRAIN)) for n in roi_size)
    return smaller if smaller != roi_size else None


@contextmanager
def moved(networks: Sequence[nn.Module], device: torch.device, home: torch.device) -> Iterator:
    """Have the networks on `device` meanwhile; they are back `home` afterwards."""
    if device == home:
        yield
        return
    try:
        for network in networks:
            network.to(device)
        yield
    finally:
        for network in networks:
            network.to(home)


class Economies:
    """What is done with less memory, told as it happens and remembered.

    Args:
        monitor: Told of every step, as a stage.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._steps: list[str] = []
        self._lacking = False

    def take(self, step: Step) -> None:
        """A step down is about to be taken."""
        if step.why == MEMORY:
            self.say(step.said)
        else:
            self._lacking = True
            self._monitor.report(f"{step.why}: {step.said}", 0.0)

    def say(self, step: str) -> None:
        """Something is about to be done because memory is short."""
        self._steps.append(step)
        self._monitor.report(f"{MEMORY}: {step}", 0.0)

    @property
    def note(self) -> str:
        """All steps in sentences, or ""."""
        said = []
        if self._steps:
            said = [f"Memory was short, so the run made do with less: {', '.join(self._steps)}."]
        if self._lacking:
            said.append(f"{capitalised(LACKING)}; the processor did the work.")
        return " ".join(said)
