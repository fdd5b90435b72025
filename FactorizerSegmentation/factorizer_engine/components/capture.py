"""Where components of a network are active in windows, at their blocks' resolutions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factorizer_engine.components.definition import activity, mixers_of, observed
from factorizer_engine.factorization import Factors
from factorizer_engine.inference.windows import Box, Copy, WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer

MOST_BYTES = 256 * 2**20
"""Memory that the captures of a result may take; 22 MB for glioma-fast and the sample case."""


class Capture:
    """Where components of a network are active in a window that is run for that.

    Args:
        network: In evaluation mode.
        blocks: Blocks to look into; all by default.

    Attributes:
        mixers: Of the network, by block.
    """

    def __init__(self, network: Factorizer, blocks: Collection[str] | None = None) -> None:
        self.network = network
        self.mixers = mixers_of(network)
        self._blocks = self.mixers if blocks is None else blocks

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """By block, (heads * R, *S) of a window (1, C, *roi_size), on the host."""
        with torch.inference_mode(), capturing(self.mixers, self._blocks) as found:
            self.network(image)
        return {block: values[0].float().cpu() for block, values in found.items()}


class Captures:
    """Watches networks while they segment, and keeps where components are active.

    Args:
        networks: The Factorizers of an ensemble.
        blocks: Whose components are kept; by default those of all.
    """

    def __init__(
        self, networks: Sequence[Factorizer], blocks: Collection[str] | None = None
    ) -> None:
        self._mixers = {network: mixers_of(network) for network in networks}
        self._blocks = blocks
        self._found: dict[tuple, dict[str, Tensor]] = {}

    @classmethod
    def of(cls, networks: Sequence[nn.Module], plan: WindowPlan) -> Captures | None:
        """What keeps the captures of a plan, as far as they fit into `MOST_BYTES`.

        Blocks are dropped from the deepest; their windows are run again when they are asked for.

        Returns:
            None if there is nothing to keep.
        """
        factorizers = [network for network in networks if isinstance(network, Factorizer)]
        if len(factorizers) < len(networks):
            return None
        mixers = [mixers_of(network) for network in factorizers]
        left, kept = MOST_BYTES // (len(plan.windows) * len(plan.copies) or 1), []
        for block in from_finest({name: one for own in mixers for name, one in own.items()}):
            left -= sum(capture_bytes(own[block]) for own in mixers if block in own)
            if left < 0:
                break
            kept.append(block)
        return cls(factorizers, kept) if kept else None

    @contextmanager
    def watching(self, network: nn.Module, windows: Sequence[Box], copy: Copy) -> Iterator[None]:
        """Around one call of a network, see `inference.sliding_window.Watcher`."""
        if network not in self._mixers:
            yield
            return
        mixers = self._mixers[network]
        kept = [block for block in mixers if self._blocks is None or block in self._blocks]
        with capturing(mixers, kept) as found:
            yield
        for number, window in enumerate(windows):
            own = {block: _halved(values[number]) for block, values in found.items()}
            self._found[_key(network, window, copy)] = own

    def found(self, network: nn.Module, window: Box, copy: Copy) -> dict[str, Tensor] | None:
        """By block that is kept, (heads * R, *S) on the host; None of a window not watched.

        With 16 bits, where that suffices.
        """
        return self._found.get(_key(network, window, copy))


@contextmanager
def capturing(
    mixers: Mapping[str, FactMixer], blocks: Collection[str]
) -> Iterator[dict[str, Tensor]]:
    """What is filled, by block, with the activity (B, heads * R, *S) in every call of a network."""
    found: dict[str, Tensor] = {}

    def observer(block: str):
        def observe(factors: Factors | tuple[Tensor, Tensor]) -> None:
            found[block] = activity(mixers[block].reshape, factors)

        return observe

    with observed({mixers[block]: observer(block) for block in blocks}):
        yield found


def count_of(mixer: FactMixer) -> int:
    """How many components a mixer has."""
    return mixer.reshape.num_heads * mixer.factorize.rank


def capture_bytes(mixer: FactMixer) -> int:
    """What the activity of all components of a mixer takes in one window, with 16 bits."""
    return 2 * count_of(mixer) * math.prod(mixer.reshape.spatial_size)


def from_finest(mixers: Mapping[str, FactMixer]) -> list[str]:
    """The blocks from those at the finest resolution to the deepest."""
    return sorted(mixers, key=lambda block: -math.prod(mixers[block].reshape.spatial_size))


def pooled_to(values: Tensor, like: Tensor) -> Tensor:
    """Quantities (K, *roi_size) at the resolution of maps (N, *S)."""
    if values.shape[1:] == like.shape[1:]:
        return values
    return F.interpolate(values[None], size=tuple(like.shape[1:]), mode="area")[0]


def _halved(values: Tensor) -> Tensor:
    """On the host with 16 bits, rounded by a 2000th at most, unless they are too large for that."""
    half = values.cpu().half()
    return half if half.isfinite().all() else values.float().cpu()


def _key(network: nn.Module, window: Box, copy: Copy) -> tuple:
    place = tuple((axis.start, axis.stop) for axis in window)
    return (id(network), place, copy)
