"""Into which blocks there is memory to look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.components.definition import component_name, mixers_of
from factorizer_engine.components.question import Question
from factorizer_engine.inference.device import HEADROOM, free_memory
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import EngineMemoryError

_FINEST, _GRAPH, _KEPT, _WORKSPACE = 17, 6, 3, 150 * 10**6
"""The bound of `explanation_bytes`: maps of the finest level; of every block behind which gradients
are followed, beside one a region; of every block for each further pass; and bytes beside them.

Measured growth of the resident memory on a CPU for one window, in maps of the finest level: 24 to
35 from the first block on and 13 to 17 from the last one (64^3 windows with 16 and 32 channels, and
128^3 with 16), for which the bound says 36 (one region) to 41 (three), and 26.
"""


@dataclass(frozen=True)
class Room:
    """Into what there is memory to look.

    Attributes:
        blocks: The blocks.
        needed: Bytes that looking into them takes.
        note: What was left out and why, for people, or "".
    """

    blocks: tuple[str, ...]
    needed: int
    note: str = ""

    @property
    def gigabytes(self) -> str:
        """What it takes, for people."""
        return f"{self.needed / 1e9:.1f} GB"


def room_for(asked: Question) -> Room:
    """As many of the blocks that are asked for as there is memory for.

    Gradients are followed from the output back to the first block that is looked into, so those
    that lie deepest behind the output are dropped first.

    Raises:
        EngineMemoryError: If not even the last of them fits.
    """
    device, looked_into = asked.segmenter.device, {term.block for term in asked.candidates}
    blocks = [block for block in asked.mixers if block in looked_into]
    free = free_memory(device)

    def needed(kept: Sequence[str]) -> int:
        passes = len(asked.networks) * max(len(asked.probes), 1)  # all are kept to the end
        counts = (len(asked.decisive), passes)
        return max(explanation_bytes(network, kept, *counts) for network in asked.networks)

    whole = needed(blocks)
    for first in range(len(blocks)):
        kept, bytes_needed = blocks[first:], needed(blocks[first:])
        if bytes_needed <= HEADROOM * free:
            note = _note(asked, blocks[:first], whole, free) if first else ""
            return Room(tuple(kept), bytes_needed, note)
    raise EngineMemoryError(
        f"Explaining takes about {needed(blocks[-1:]) / 1e9:.1f} GB of memory but "
        f"{free / 1e9:.1f} GB are free on '{device}'; close other programs, or explain with a "
        "smaller model."
    )


def explanation_bytes(network: Factorizer, blocks: Sequence[str], regions: int, passes: int) -> int:
    """Upper bound of the memory for the evidence of all components of some blocks.

    Args:
        network: The network.
        blocks: At least one.
        regions: For how many regions.
        passes: How many passes are recorded, over all windows, copies and networks.
    """
    sizes = {
        block: math.prod(reshape.spatial_size) * reshape.num_heads * reshape.head_dim
        for block, mixer in mixers_of(network).items()
        for reshape in [mixer.reshape]
    }
    order = list(sizes)
    behind = sum(sizes[block] for block in order[min(map(order.index, blocks)) :])
    kept = _KEPT * (passes - 1) * sum(sizes.values())
    maps = _FINEST * max(sizes.values()) + (_GRAPH + regions) * behind + kept
    return 4 * maps + _WORKSPACE


def _note(asked: Question, dropped: Sequence[str], whole: int, free: int) -> str:
    names = [component_name(Term(0, block, 0, 0), asked.mixers) for block in dropped]
    listed = ", ".join(name.rpartition(",")[0] for name in names)
    return (
        f"Not looked into: {listed}. All blocks would take about {whole / 1e9:.1f} GB of memory, "
        f"and {free / 1e9:.1f} GB are free."
    )
