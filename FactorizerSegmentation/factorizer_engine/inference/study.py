"""A study as a run uses it: prepared scans, and what of the model they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.images.preprocessing import Prepared
from factorizer_engine.images.scan import Scan
from factorizer_engine.images.store import Store
from factorizer_engine.inference.chosen import Chosen
from factorizer_engine.protocol.models import ModelDescription


@dataclass(frozen=True, eq=False)
class Study:
    """The scans of one study, ready for a model's networks.

    Attributes:
        model: The model as it is applied: with the channels that were given, and the regions that
            can be seen with them.
        outputs: The numbers of these regions among the outputs of the network.
        cost: What it costs that channels were left out, for people, or "".
        prepared: The scans in model space.
        store: Where volumes of this size are kept.
        chosen: The part that the user asked for.
        head_with_sides: Any of the scans, to tell the side of a lesion by; None where the sides of
            the head are unknown.
    """

    model: ModelDescription
    outputs: list[int]
    cost: str
    prepared: Prepared
    store: Store
    chosen: Chosen
    head_with_sides: Scan | None


def only(maps: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """These of all maps (R, X, Y, Z); without a copy if they are all."""
    return maps if list(numbers) == list(range(len(maps))) else maps[list(numbers)]
