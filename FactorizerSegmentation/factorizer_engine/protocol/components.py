"""NMF components, as everybody speaks of them: engine, wire, table, overlay and report."""

from __future__ import annotations

from dataclasses import dataclass, field

from factorizer_engine.protocol.messages import Message

LEVEL = 0.5
"""Part of its contribution above which a component is said to act as a level."""


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
        window: (low, high) display range of the activity: one for all components of a block, or
            that over 2, 4, 8, ... where a component is too weak to be seen in it. Activations of
            different blocks have no common scale.
        region: Name of the region for which the evidence was drawn, or "".
        evidence_window: (-high, high) display range of the evidence in logits per mL: one for all
            components, or that over 2, 4, 8, ...
        level: The part (0 to 1) of the contribution that comes from the component's mean over the
            head, rather than from where it is.
    """

    term: Term
    name: str
    contributions: dict[str, float] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 1.0)
    region: str = ""
    evidence_window: tuple[float, float] = (-1.0, 1.0)
    level: float = 0.0

    @property
    def is_level(self) -> bool:
        """Whether it acts as a level over the whole head, not at a place."""
        return self.level > LEVEL
