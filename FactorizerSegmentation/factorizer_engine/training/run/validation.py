"""Scores on whole validation cases in model space, by sliding window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from factorizer_engine.networks import finest
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.run.distributed import Team


def dice(prediction: Tensor, target: Tensor) -> Tensor:
    """Dice of binary masks (R, X, Y, Z), one per region; two empty masks agree perfectly (1)."""
    axes = tuple(range(1, prediction.dim()))
    both = (prediction & target).sum(axes).double()
    total = prediction.sum(axes).double() + target.sum(axes).double()
    return torch.where(total > 0, 2 * both / total.clamp_min(1), torch.ones_like(total))


@torch.no_grad()
def predict(
    network: nn.Module,
    image: Tensor,
    window: tuple[int, int, int],
    overlap: float,
    device: torch.device,
    autocast: torch.dtype | None,
) -> Tensor:
    """Probabilities (R, X, Y, Z), float32 on the CPU, of an image (C, X, Y, Z)."""
    with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        logits = sliding_window_inference(
            image[None].float().to(device),
            roi_size=window,
            sw_batch_size=1,
            predictor=lambda windows: finest(network(windows)).float(),
            overlap=overlap,
            mode="gaussian",
        )
    return logits[0].float().sigmoid().cpu()


def validate(
    network: nn.Module,
    cache: CaseCache,
    names: Sequence[str],
    window: tuple[int, int, int],
    overlap: float,
    device: torch.device,
    autocast: torch.dtype | None,
    team: Team,
) -> dict[str, list[float]]:
    """Dice of every case, one value per region; cases are shared out over the team.

    Returns:
        Case name to values in region order, the same in every process.
    """
    network.eval()
    own = []
    for name in team.share_of(sorted(names)):
        case = cache.get(name)
        probabilities = predict(network, case.image, window, overlap, device, autocast)
        scores = dice(probabilities >= 0.5, case.target.bool())
        own.append((name, scores.tolist()))
    return dict(sorted(team.gather(own)))
