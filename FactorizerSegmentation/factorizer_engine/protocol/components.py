"""NMF components, as everybody speaks of them: engine, wire, table, overlay and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from factorizer_engine.protocol.messages import Message

LEVEL = 0.5
"""Part of its contribution above which a component is said to act as a level."""

STABLE = 0.8
"""Correlation of its maps with those of shifted windows from which a component is called stable."""

STEPS = 255
"""Steps of a display range, which no colour map resolves: of them compact maps are multiples."""

GONE = 0.1
"""Part of its volume below which a lesion is said to be gone."""


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
        meaning: What it responded to and spoke for on the cases over which the model was described
            (`protocol.profiles`), as a short sentence, or "" where that was not measured.
        stability: How well its maps there correlated with those of shifted windows; None where that
            was not measured.
        left: Part (0 to 1) of the volume of the lesion that was explained which is still found
            without this component; None if not one lesion was explained, or for a region that
            holds nowhere in it.
    """

    term: Term
    name: str
    contributions: dict[str, float] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 1.0)
    region: str = ""
    evidence_window: tuple[float, float] = (-1.0, 1.0)
    level: float = 0.0
    meaning: str = ""
    stability: float | None = None
    left: float | None = None

    @property
    def is_stable(self) -> bool:
        """Whether its maps hardly depend on where the windows lie, as far as that is known."""
        return is_stable(self.stability)

    @property
    def is_level(self) -> bool:
        """Whether it acts as a level over the whole head, not at a place."""
        return self.level > LEVEL


@dataclass(frozen=True)
class Reliance(Message):
    """What a lesion rests on: the few components that, left out together, undo it.

    Attributes:
        components: Their places, from 0, among all that were found, the strongest first.
        left: Part (0 to 1) of the lesion's volume that is still found without them.
    """

    components: tuple[int, ...]
    left: float

    @property
    def is_gone(self) -> bool:
        """Whether so little is left that the lesion rests on these components."""
        return self.left < GONE

    def sentence(self, lesion: int, components: Sequence[Component]) -> str:
        """For people.

        Args:
            lesion: Its number.
            components: All that were found.
        """
        names = [components[place].name for place in self.components]
        if not names:
            return f"None of these components speaks for lesion {lesion}."
        without = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        left = f"{100 * self.left:.0f} % of it is" if self.left >= 0.005 else "nothing of it is"
        if not self.is_gone:
            speak = "one that speaks" if len(names) == 1 else f"{len(names)} that speak"
            rests = f"Lesion {lesion} rests on more than these components"
            return f"{rests}: without the {speak} for it, {left} left."
        number = "one component" if len(names) == 1 else f"{len(names)} components"
        return f"Lesion {lesion} rests on {number}: without {without}, {left} left."


def is_stable(stability: float | None) -> bool:
    """Whether maps of that stability are called stable; those of which nothing is known are."""
    return stability is None or stability >= STABLE


def rank_shown(contribution: float, stability: float | None) -> tuple[bool, bool, float]:
    """By which components are listed, the lowest first.

    Of those that speak for a lesion, the stable ones come before the others, each by what they
    contribute; those that speak against it come last.
    """
    is_unstable = contribution > 0 and not is_stable(stability)
    return contribution <= 0, is_unstable, -contribution


def step_of(window: tuple[float, float]) -> float:
    """The step of compact maps that are seen in a display range."""
    low, high = window
    return (high - low) / STEPS
