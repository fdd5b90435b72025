"""Training windows of studies that lack sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from factorizer_engine.training.data.cases import UNKNOWN


def random_absence(
    count: int, generator: np.random.Generator, absent: Sequence[int] = ()
) -> tuple[int, ...]:
    """Channels that a study is to lack, beside those that it does lack.

    What is left is a random part of the channels that there are, neither none nor all, every such
    part equally likely (as the missing modalities of Dorent et al., U-HVED, MICCAI 2019,
    arXiv:1907.11150). The only channel that there is stays.

    Args:
        count: Number of channels.
        generator: Decides.
        absent: Channels that it lacks already.

    Returns:
        Numbers of all that it is to lack.
    """
    present = [channel for channel in range(count) if channel not in absent]
    if len(present) < 2:
        return tuple(absent)
    part = int(generator.integers(1, 2 ** len(present) - 1))
    dropped = [channel for place, channel in enumerate(present) if not part >> place & 1]
    return tuple(sorted({*absent, *dropped}))


def without_sequences(
    image: Tensor, target: Tensor, absent: Sequence[int], unknown: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A window as of a study that lacks channels: they are zero, and regions are unknown.

    So the network is not taught to guess what cannot be seen.

    Args:
        image: (C, X, Y, Z) z-scores.
        target: Region masks (R, X, Y, Z).
        absent: Numbers of the channels that it lacks.
        unknown: Numbers of the regions of which nothing is known.

    Returns:
        Changed copies of image and masks.
    """
    image, target = image.clone(), target.clone()
    image[list(absent)] = 0.0
    target[list(unknown)] = UNKNOWN
    return image, target
