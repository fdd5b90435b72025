"""NMF components, as everybody speaks of them: engine, wire, table, overlay and report."""

from __future__ import annotations

from dataclasses import dataclass, field

from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True, order=True)
class Term(Message):
    """Which rank-one term of which factorisation.

    Attributes:
        network: Member of the ensemble, from 0.
        block: Name of the block, such as "decoder.3.0".
        head: Head of the block, from 0.
        rank: Term of the head's factorisation, from 0.
    """

    network: int
    block: str
    head: int
    rank: int


@dataclass(frozen=True)
class Component(Message):
    """A component of a result: which term it is, and what it drives.

    Attributes:
        term: Its place in the model.
        name: A name for people, such as "Decoder 4, component 3".
        contributions: By region name, how much the region's mean logit inside the lesion falls
            when the component is left out of the network.
        window: (low, high) display range, one for all components of a block, so that their heatmaps
            can be compared. Activations of different blocks have no common scale.
    """

    term: Term
    name: str
    contributions: dict[str, float] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 1.0)
