"""Training windows as a pure function of (seed, number of the window).

Nothing remembers where it was: window n is the same whoever asks for it, in whichever process and
after whatever interruption. Resuming and distributing follow from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from factorizer_engine.training.config import AugmentationSection
from factorizer_engine.training.data.augmentation import (
    change_intensities,
    cut_window,
    happens,
    misregister,
)
from factorizer_engine.training.data.cases import UNKNOWN, CaseCache, PreparedCase
from factorizer_engine.training.data.dataset import unseen_without
from factorizer_engine.training.data.heads import HEAD_MM, add_head
from factorizer_engine.training.data.lesions import (
    change_lesion_contrast,
    heal_lesions,
    put_lesions,
)
from factorizer_engine.training.data.sequences import (
    random_absence,
    without_sequences,
)
from factorizer_engine.training.data.synthetic import paint_lesion, structure_mask


class WindowDataset(Dataset):
    """Window number n of an endless, reproducible sequence.

    Every run of len(names) windows visits each case once, in an order of its own.

    Args:
        cache: Prepared cases.
        names: Cases to draw from.
        foreground: Part of the windows that are centred in a region (each region equally often).
        needed: Per region the channels without each of which it cannot be seen.
    """

    def __init__(
        self,
        cache: CaseCache,
        names: Sequence[str],
        window: tuple[int, int, int],
        augmentation: AugmentationSection,
        foreground: float,
        seed: int,
        needed: Sequence[Sequence[int]] = (),
    ) -> None:
        self._cache = cache
        self._names = sorted(names)
        self._window = window
        self._augmentation = augmentation
        self._foreground = foreground
        self._seed = seed
        self._needed = needed

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Image (C, *window) and region masks (R, *window) of window `number`, float32.

        Masks are 1 and 0, and `UNKNOWN` in voxels to be ignored and in regions that the window
        does not show.
        """
        case = self._cache.get(self._name(number))
        generator = np.random.default_rng([self._seed, 1, number])
        settings = self._augmentation
        if happens(settings.healed, generator):
            image, target = heal_lesions(case.image, case.target, case.spacing)
            case = replace(case, image=image, target=target)
        with_head = happens(settings.head, generator)
        margin = HEAD_MM / np.asarray(case.spacing) if with_head else 0.0
        image, target = self._cut(case, generator, self._foreground, margin)
        if happens(settings.lesions_of_others, generator):
            donor = self._cache.get(self._names[int(generator.integers(len(self._names)))])
            if not (donor.absent or donor.unknown):
                lesions = self._cut(donor, generator, foreground=1.0)
                image, target = put_lesions(image, target, lesions, case.spacing, generator)
        if happens(settings.lesion_contrast, generator):
            limits = settings.lesion_contrast_range
            image = change_lesion_contrast(image, target, limits, case.spacing, generator)
        if happens(settings.misregistration, generator):
            image = misregister(image, settings, case.spacing, generator)
        image, target = self._with_other_target(image, target, case, generator)
        if with_head:
            image = add_head(image, case.spacing, generator)
        image = change_intensities(image, settings, generator)
        absent = case.absent
        if happens(settings.sequence_dropout, generator):
            absent = random_absence(len(image), generator, absent)
        if absent or case.unknown:
            unknown = {*case.unknown, *unseen_without(absent, self._needed)}
            image, target = without_sequences(image, target, absent, sorted(unknown))
        return image, target

    def _with_other_target(
        self, image: Tensor, target: Tensor, case: PreparedCase, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The window with a painted lesion or a structure as its one target, or as it was."""
        settings = self._augmentation
        if happens(settings.painted_lesions, generator):
            return paint_lesion(image, case.spacing, generator)
        if happens(settings.structures, generator):
            return image, structure_mask(image, case.spacing, generator)
        return image, target

    def _name(self, number: int) -> str:
        count = len(self._names)
        order = np.random.default_rng([self._seed, 0, number // count]).permutation(count)
        return self._names[order[number % count]]

    def _cut(
        self,
        case: PreparedCase,
        generator: np.random.Generator,
        foreground: float,
        margin: np.ndarray | float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        center = self._center(case, generator, foreground, margin)
        masks = case.target if case.ignored is None else torch.cat([case.target, case.ignored])
        image, masks = cut_window(
            case.image,
            masks,
            center,
            self._window,
            self._augmentation,
            case.spacing,
            generator,
        )
        if case.ignored is None:
            return image, masks
        return image, masks[:-1].masked_fill(masks[-1:] > 0, UNKNOWN)

    def _center(
        self,
        case: PreparedCase,
        generator: np.random.Generator,
        foreground: float,
        margin: np.ndarray | float,
    ) -> np.ndarray:
        """A point in a region or anywhere, moved so that the window leaves the volume least.

        Args:
            foreground: How probably the point lies in a region.
            margin: Voxels around the volume that count as part of it.
        """
        shape = np.asarray(case.image.shape[1:])
        window = np.asarray(self._window)
        filled = [points for points in case.points if len(points)]
        if filled and generator.random() < foreground:
            points = filled[int(generator.integers(len(filled)))]
            center = points[int(generator.integers(len(points)))].astype(float)
            center = center + generator.uniform(-0.25, 0.25, size=3) * window
        else:
            center = generator.uniform(-margin, shape - 1 + margin)
        half = (window - 1) / 2
        first, last = half - margin, shape - 1 - half + margin
        low, high = np.minimum(first, last), np.maximum(first, last)
        return np.clip(center, low, high)


class _StepSampler(Sampler):
    """Window numbers of this process, step by step, from `start` on."""

    def __init__(self, start: int, steps: int, batch_size: int, rank: int, ranks: int) -> None:
        self._range = range(start, steps)
        self._batch_size, self._rank, self._ranks = batch_size, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._range:
            first = (step * self._ranks + self._rank) * self._batch_size
            yield list(range(first, first + self._batch_size))

    def __len__(self) -> int:
        return len(self._range)


def window_loader(
    dataset: WindowDataset,
    start: int,
    steps: int,
    batch_size: int,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """Batches of the steps from `start` on.

    Step s of all ranks together holds windows s B to (s + 1) B - 1, B being `batch_size` times
    `ranks`.
    """
    return DataLoader(
        dataset,
        batch_sampler=_StepSampler(start, steps, batch_size, rank, ranks),
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )
