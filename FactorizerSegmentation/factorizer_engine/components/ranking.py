"""Which blocks and components count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.components import is_stable, rank_shown


def default_blocks(mixers: Mapping[str, FactMixer]) -> list[str]:
    """The blocks at the three finest resolutions, of the encoder and the decoder.

    They are what a deletion curve covers by default, since they decide: in glioma-fast 0.3.0 the
    largest contribution on three cases that it was not trained on was 2.4 to 3.0 logits there, and
    0.1 to 0.2 in all coarser blocks; without the third resolution it was 1.5 to 2.1. In 0.4.0 it is
    2.7, 0.1 and 2.3 on the sample case.
    """
    sizes = {name: mixer.reshape.spatial_size for name, mixer in mixers.items()}
    finest = sorted(set(sizes.values()), reverse=True)[:3]
    return [name for name in mixers if sizes[name] in finest]


def chosen_in_turn(
    order: Sequence[int],
    count: int,
    strength: Sequence[float] | np.ndarray,
    stability: Sequence[float | None],
) -> list[int]:
    """The first ones of an order, among which the strongest stable one has a place: the last.

    Args:
        order: Components in turn.
        count: How many are chosen, at most.
        strength: What every component contributes in the whole network.
        stability: That of every component.
    """
    chosen = list(order[:count])
    stable = [i for i in order if is_stable(stability[i]) and strength[i] > 0]
    strongest = max(stable, key=lambda i: strength[i], default=None)
    if strongest is not None and strongest not in chosen and count > 1:
        chosen[-1] = strongest
    return chosen


def in_order_shown(
    chosen: Sequence[int],
    strength: Mapping[int, float] | Sequence[float] | np.ndarray,
    stability: Mapping[int, float | None] | Sequence[float | None],
) -> list[int]:
    """Chosen components by falling contribution, but that stable ones lead.

    Args:
        chosen: Indices of components.
        strength: What each contributes by itself. Of those that speak for the lesion, the stable
            ones come before the others.
        stability: That of each.
    """
    return sorted(chosen, key=lambda i: rank_shown(float(strength[i]), stability[i]))
