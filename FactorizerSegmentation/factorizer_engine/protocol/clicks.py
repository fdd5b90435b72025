"""A click or a scribble with which a user corrects a segmentation.

The Slicer process imports this file: standard library and numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message


@dataclass(frozen=True)
class Click(Message):
    """Says of some points that a region holds there, or that it does not.

    Attributes:
        region: Name of one of the model's regions.
        points: World coordinates (RAS+, mm); one point is a click, several are a scribble, whose
            first one counts as the place of the click.
        add: Whether the region holds there.
    """

    region: str
    points: tuple[tuple[float, float, float], ...]
    add: bool = True

    def __post_init__(self) -> None:
        if not self.points or not np.isfinite(np.array(self.points, dtype=np.float64)).all():
            raise BadInputError(f"A click on {self.region} has no place; click again.")

    @property
    def title(self) -> str:
        """What messages call it."""
        place = ", ".join(f"{value:.1f}" for value in self.points[0])
        return f"The click that {self.verb} {self.region} at {place}"

    @property
    def verb(self) -> str:
        """What it does, as in "adds to ET"."""
        return "adds to" if self.add else "removes from"
