"""What a MONAI configuration does with the network's output: activation, threshold, the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from factorizer_engine.bundles.reading.expressions import transform_name
from factorizer_engine.protocol.errors import BadModelError

_COVERED = frozenset(
    "Activations AsDiscrete Invert SaveImage MeanEnsemble Lambda EnsureType CastToType ToTensor "
    "SqueezeDim SplitDim SelectItems DeleteItems CopyItems Identity AsChannelLast".split()
)
"""Steps that the engine takes, too, or that change no voxel."""

Resolve = Callable[[Any], Any]


def probability_threshold(steps: Iterable[Mapping[str, Any]], resolve: Resolve) -> float:
    """From which probability on a region counts, 0.5 if it is not said.

    Raises:
        BadModelError: If the output becomes something else than probabilities.
    """
    activated, threshold = False, None
    for step in steps:
        name = transform_name(step)
        if name == "Activations":
            if step.get("other") is not None:
                raise BadModelError(
                    "The model makes something else than probabilities of its output (by "
                    f"{step['other']}), which is not supported."
                )
            activated |= bool(resolve(step.get("sigmoid")) or resolve(step.get("softmax")))
        if name == "AsDiscrete" and threshold is None and step.get("threshold") is not None:
            threshold = float(resolve(step["threshold"]))
    if threshold is None:
        return 0.5
    if not activated and not 0 < threshold < 1:  # of the network's output itself
        return 1 / (1 + math.exp(-threshold))
    return threshold


def left_out(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each step after the network that the engine does not take."""
    names = dict.fromkeys(transform_name(step) for step in steps)
    return [
        f"The step {name} that its makers take after the network is left out."
        for name in names
        if name and name not in _COVERED
    ]
