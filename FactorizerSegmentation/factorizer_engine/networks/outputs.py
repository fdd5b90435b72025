"""What networks give."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def finest(outputs: Tensor | Sequence[Tensor]) -> Tensor:
    """The output at full resolution, with or without deep supervision."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]
