"""Where all components of a network are active in a window, at their blocks' resolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from factorizer_engine.components.definition import activity, mixers_of, observed
from factorizer_engine.networks import FactMixer, Factorizer
from factorizer_engine.networks.blocks import FactorObserver


class Capture:
    """Where all components of a network are active in a window.

    Args:
        network: In evaluation mode.

    Attributes:
        mixers: Of the network, by block.
    """

    def __init__(self, network: Factorizer) -> None:
        self.network = network
        self.mixers = mixers_of(network)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """By block, (heads * R, *S) of a window (1, C, *roi_size), on the host."""
        found: dict[str, Tensor] = {}

        def observer(block: str, mixer: FactMixer) -> FactorObserver:
            return lambda factors: found.__setitem__(block, activity(mixer.reshape, factors)[0])

        observers = {mixer: observer(block, mixer) for block, mixer in self.mixers.items()}
        with torch.inference_mode(), observed(observers):
            self.network(image)
        return {block: values.float().cpu() for block, values in found.items()}


def count_of(mixer: FactMixer) -> int:
    """How many components a mixer has."""
    return mixer.reshape.num_heads * mixer.factorize.rank


def pooled_to(values: Tensor, like: Tensor) -> Tensor:
    """Quantities (K, *roi_size) at the resolution of maps (N, *S)."""
    if values.shape[1:] == like.shape[1:]:
        return values
    return F.interpolate(values[None], size=tuple(like.shape[1:]), mode="area")[0]
