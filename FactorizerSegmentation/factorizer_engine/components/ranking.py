"""Which blocks and components count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.components import is_stable


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


def stable_first(
    ranked: Sequence[int],
    strength: Mapping[int, float],
    stability: Mapping[int, float | None],
) -> list[int]:
    """Ranked components, of those that speak for the lesion the stable ones before the others.

    Args:
        ranked: Indices of components.
        strength: What each contributes by itself; those that do not speak for the lesion then come
            last.
        stability: That of each.
    """
    return sorted(
        ranked, key=lambda i: (strength[i] <= 0, strength[i] > 0 and not is_stable(stability[i]))
    )
