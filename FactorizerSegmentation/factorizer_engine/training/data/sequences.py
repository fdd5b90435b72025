"""Training windows of studies that lack sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.training.data.cases import UNKNOWN


def drop_sequences(
    image: Tensor,
    target: Tensor,
    needed: Sequence[Sequence[int]],
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """A window as if sequences had not been taken: zero, as in a study that lacks them.

    What is left is a random part of the channels, neither none nor all, every such part equally
    likely (as the missing modalities of Dorent et al., U-HVED, MICCAI 2019, arXiv:1907.11150).
    Regions that cannot be seen any more become unknown, so that the network is not taught to
    guess them.

    Args:
        image: (C, X, Y, Z) z-scores, C of at least 2.
        target: Region masks (R, X, Y, Z).
        needed: Per region the channels without each of which it cannot be seen.

    Returns:
        Changed copies of image and masks.
    """
    count = len(image)
    part = int(generator.integers(1, 2**count - 1))
    absent = [channel for channel in range(count) if not part >> channel & 1]
    unseen = [region for region, channels in enumerate(needed) if set(channels) & set(absent)]
    image, target = image.clone(), target.clone()
    image[torch.tensor(absent)] = 0.0
    target[unseen] = UNKNOWN
    return image, target
