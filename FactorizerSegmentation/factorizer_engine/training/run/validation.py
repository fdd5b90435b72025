"""Scores on whole validation cases in model space, by sliding window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from factorizer_engine.networks import finest
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import Dataset, unseen_without
from factorizer_engine.training.run.distributed import Team


def dice(prediction: Tensor, target: Tensor) -> Tensor:
    """Dice of binary masks (R, X, Y, Z), one per region; two empty masks agree perfectly (1)."""
    axes = tuple(range(1, prediction.dim()))
    both = (prediction & target).sum(axes).double()
    total = prediction.sum(axes).double() + target.sum(axes).double()
    return torch.where(total > 0, 2 * both / total.clamp_min(1), torch.ones_like(total))


@dataclass(frozen=True)
class Subset:
    """A part of the channels that weights are chosen by.

    Attributes:
        name: The channels, as in "FLAIR + T1ce".
        absent: Numbers of the others.
        seen: Numbers of the regions that can be seen with it.
    """

    name: str
    absent: tuple[int, ...]
    seen: tuple[int, ...]

    def mean_of(self, scores: Mapping[str, Sequence[float]]) -> float:
        """Mean over cases and over the regions that can be seen."""
        return mean(values[region] for values in scores.values() for region in self.seen)


def subsets_of(dataset: Dataset, names: Sequence[Sequence[str]]) -> tuple[Subset, ...]:
    """The parts of the dataset's channels of these names.

    Raises:
        BadInputError: If there is no such channel, or no region can be seen.
    """
    subsets = []
    for channels in names:
        title = " + ".join(channels)
        unknown = sorted(set(channels) - set(dataset.channels))
        if unknown:
            raise BadInputError(f"run.validation_subsets: there is no channel {unknown[0]}.")
        absent = tuple(n for n, name in enumerate(dataset.channels) if name not in channels)
        unseen = unseen_without(absent, dataset.needed)
        seen = tuple(n for n in range(len(dataset.regions)) if n not in unseen)
        if not seen:
            raise BadInputError(f"run.validation_subsets: no region can be seen in {title}.")
        subsets.append(Subset(title, absent, seen))
    return tuple(subsets)


@dataclass(frozen=True)
class Validator:
    """Puts whole cases through a network.

    Attributes:
        cache: Prepared cases.
        window: Voxels of a window.
        overlap: Part of a window shared with the next.
        device: Where the network is.
        dtype: float32, or the type of autocast.
        prompts: Channels that the network reads beside the image; zero, as before any click.
    """

    cache: CaseCache
    window: tuple[int, int, int]
    overlap: float
    device: torch.device
    dtype: torch.dtype
    prompts: int = 0

    @torch.no_grad()
    def predict(self, network: nn.Module, image: Tensor) -> Tensor:
        """Probabilities (R, X, Y, Z), float32 on the CPU, of an image (C, X, Y, Z)."""
        image = torch.cat([image, image.new_zeros(self.prompts, *image.shape[1:])])
        with torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            logits = sliding_window_inference(
                image[None].float().to(self.device),
                roi_size=self.window,
                sw_batch_size=1,
                predictor=lambda windows: finest(network(windows)).float(),
                overlap=self.overlap,
                mode="gaussian",
            )
        return logits[0].float().sigmoid().cpu()

    def scores(
        self, network: nn.Module, names: Sequence[str], team: Team, absent: Sequence[int] = ()
    ) -> dict[str, list[float]]:
        """Dice of every case, one value per region; cases are shared out over the team.

        Args:
            absent: Channels that are zero, as where a sequence was not taken.

        Returns:
            Case name to values in region order, the same in every process.
        """
        network.eval()
        own = []
        for name in team.share_of(sorted(names)):
            case = self.cache.get(name)
            image = case.image.clone()
            image[list(absent)] = 0.0
            mask = self.predict(network, image) >= 0.5
            if case.ignored is not None:
                mask &= ~case.ignored.bool()  # where the target holds in no region
            found = dice(mask, case.target.bool())
            own.append((name, found.tolist()))
        return dict(sorted(team.gather(own)))
