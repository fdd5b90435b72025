"""Where components of a network are active in windows, at their blocks' resolutions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factorizer_engine.components.definition import activity, mixers_of, observed
from factorizer_engine.factorization import Factors
from factorizer_engine.images.store import IN_MEMORY, Store, free_on_disk
from factorizer_engine.inference.windows import Box, Copy, WindowPlan
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.protocol.errors import BadInputError

Place = tuple[int, int]
"""Which copy, and which window, of a plan."""

MOST_IN_MEMORY = 256 * 2**20
"""Memory that the captures of a result may take; 22 MB for glioma-fast and the sample case."""

MOST_ON_DISK = 4 * 2**30
"""What captures may take that need more than that; 0.8 GB for glioma-fine, mirrored."""


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
        plan: The windows on which they are run.
        blocks: Whose components are kept; by default those of all.
        store: Where.
    """

    def __init__(
        self,
        networks: Sequence[Factorizer],
        plan: WindowPlan,
        blocks: Collection[str] | None = None,
        store: Store = IN_MEMORY,
    ) -> None:
        self._mixers: dict[nn.Module, dict[str, FactMixer]] = {
            network: {
                block: mixer
                for block, mixer in mixers_of(network).items()
                if blocks is None or block in blocks
            }
            for network in networks
        }
        self._windows = {_corners(window): place for place, window in enumerate(plan.windows)}
        self._copies, self._store = plan.copies, store
        self._shelves: dict[tuple[nn.Module, str], np.ndarray] = {}
        self._too_large: dict[tuple, Tensor] = {}
        self._watched: set[tuple] = set()

    @classmethod
    def of(cls, networks: Sequence[nn.Module], plan: WindowPlan) -> Captures | None:
        """What keeps the captures of a plan, in memory or, if they are too many, on the disk.

        What has no room there, or in memory if there is more of it, is dropped, from the deepest
        block on; its windows are run again when it is asked for.

        Returns:
            None if there is nothing to keep.
        """
        factorizers = [network for network in networks if isinstance(network, Factorizer)]
        if len(factorizers) < len(networks):
            return None
        mixers = [mixers_of(network) for network in factorizers]
        runs = len(plan.windows) * len(plan.copies)
        needed = {
            block: runs * sum(capture_bytes(own[block]) for own in mixers if block in own)
            for block in from_finest({name: one for own in mixers for name, one in own.items()})
        }
        too_many = sum(needed.values()) > MOST_IN_MEMORY
        room = max(_room_on_disk(), MOST_IN_MEMORY) if too_many else MOST_IN_MEMORY
        left, kept = room, []
        for block, size in needed.items():
            left -= size
            if left < 0:
                break
            kept.append(block)
        captures = cls(factorizers, plan, kept, Store(room > MOST_IN_MEMORY))
        captures._take_room()
        return captures if any(captures._mixers.values()) else None

    @contextmanager
    def watching(self, network: nn.Module, windows: Sequence[Box], copy: Copy) -> Iterator[None]:
        """Around one call of a network, see `inference.sliding_window.Watcher`."""
        if network not in self._mixers:
            yield
            return
        mixers = self._mixers[network]
        with capturing(mixers, mixers) as found:
            yield
        for number, window in enumerate(windows):
            place = self._place(window, copy)
            for block, values in found.items():
                self._keep(network, block, place, values[number].cpu())
            self._watched.add((network, place))

    def found(self, network: nn.Module, window: Box, copy: Copy) -> dict[str, Tensor] | None:
        """By block that is kept, (heads * R, *S) on the host; None of a window not watched.

        With 16 bits, where that suffices.
        """
        place = self._place(window, copy)
        if (network, place) not in self._watched:
            return None
        found = {}
        for block in self._mixers[network]:
            large = self._too_large.get((network, block, place))
            kept = torch.from_numpy(self._shelf(network, block)[place])
            found[block] = kept if large is None else large
        return found

    def _keep(self, network: nn.Module, block: str, place: Place, values: Tensor) -> None:
        """With 16 bits, unless they are too large for that.

        From 6e-5 on that rounds them by a 2000th at most, and below by less than 6e-8.
        """
        half = values.half()
        if half.isfinite().all():
            self._shelf(network, block)[place] = half.numpy()
        else:
            self._too_large[network, block, place] = values.float()

    def _take_room(self) -> None:
        """Now, on the disk: it may have less than it says, as where there are quotas."""
        if not self._store.on_disk:
            return
        every = from_finest({name: it for own in self._mixers.values() for name, it in own.items()})
        for number, block in enumerate(every):
            try:
                for network in self._mixers:
                    if block in self._mixers[network]:
                        self._shelf(network, block)
            except BadInputError:
                self._drop(every[number:])
                return

    def _drop(self, blocks: Collection[str]) -> None:
        for network, mixers in self._mixers.items():
            for block in blocks:
                mixers.pop(block, None)
                self._shelves.pop((network, block), None)

    def _shelf(self, network: nn.Module, block: str) -> np.ndarray:
        """Where the captures of a block are kept, (copies, windows, heads * R, *S)."""
        key = network, block
        if key not in self._shelves:
            mixer = self._mixers[network][block]
            one = count_of(mixer), *mixer.reshape.spatial_size
            shape = len(self._copies), len(self._windows), *one
            self._shelves[key] = self._store.zeros(shape, np.float16)
        return self._shelves[key]

    def _place(self, window: Box, copy: Copy) -> Place:
        return self._copies.index(copy), self._windows[_corners(window)]


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


def _room_on_disk() -> int:
    """Bytes that captures may take there: never more than a quarter of what is free."""
    return min(MOST_ON_DISK, free_on_disk() // 4)


def _corners(window: Box) -> tuple:
    return tuple((axis.start, axis.stop) for axis in window)
