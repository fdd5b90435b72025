"""How a raw study is prepared, and what was done to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message


class RegistrationMode(str, Enum):
    """How sequences are brought to the reference."""

    rigid = "rigid"
    affine = "affine"
    off = "off"


class BrainMode(str, Enum):
    """Whether the brain is cut out."""

    auto = "auto"
    on = "on"
    off = "off"


class BiasMode(str, Enum):
    """Whether slow changes of brightness are taken out."""

    auto = "auto"
    on = "on"
    off = "off"


@dataclass(frozen=True)
class PreparationOptions(Message):
    """What may be done to the scans of a study.

    Attributes:
        registration: One of `RegistrationMode`.
        brain: One of `BrainMode`; "auto" cuts the brain out where the model expects that and the
            scans still have a skull.
        bias_field: One of `BiasMode`; "auto" corrects scans whose brain is cut out, since those
            that come without a skull have mostly been corrected before.
    """

    registration: str = RegistrationMode.rigid.value
    brain: str = BrainMode.auto.value
    bias_field: str = BiasMode.auto.value

    def __post_init__(self) -> None:
        for value, known in (
            (self.registration, RegistrationMode),
            (self.brain, BrainMode),
            (self.bias_field, BiasMode),
        ):
            if value not in tuple(known):
                raise BadInputError(f"'{value}' is not one of {', '.join(known)}.")


def doubts_of(steps: Iterable[Step]) -> list[str]:
    """What has to be looked at, a sentence each, after the channels of which it is said."""
    channels: dict[str, list[str]] = {}
    for step in steps:
        if step.doubtful:
            channels.setdefault(step.outcome, []).append(step.channel)
    return [f"{', '.join(names)}: {text}" for text, names in channels.items()]


@dataclass(frozen=True)
class Step(Message):
    """Something that was done to a scan, or was found not to be needed or not to be possible.

    Attributes:
        channel: The scan; "" for all.
        name: Such as "registration".
        outcome: What came of it, in one sentence for people.
        doubtful: Whether the user should look at it.
        values: Figures behind the sentence, with the unit in their names.
        matrix: Of a registration: 4x4, row by row, world to world in mm RAS.
    """

    channel: str
    name: str
    outcome: str
    doubtful: bool = False
    values: dict[str, float] = field(default_factory=dict)
    matrix: tuple[tuple[float, ...], ...] = ()
