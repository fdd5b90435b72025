"""What the sections of a training configuration share: how strict they are, and kinds of values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] <= ends[1]:
        raise ValueError("the second number must be no smaller than the first")
    return ends


Axis = Annotated[int, Field(ge=0, le=2)]
Millimetres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shade = Annotated[int, Field(ge=0, le=255)]
Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Smallest and largest value."""
NonNegativeRange = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(_ascending)]


class Section(BaseModel):
    """Refuses unknown keys, so that a misspelt option cannot be ignored silently.

    Names may be numbers, which YAML does not read as text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
