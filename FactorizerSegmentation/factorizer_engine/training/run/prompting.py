"""Training windows as an interactive network sees them: with clicks on what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from factorizer_engine.bundles.settings import PromptSettings
from factorizer_engine.interaction.strokes import Stroke, prompt_channels
from factorizer_engine.interaction.users import next_stroke, rough_copy
from factorizer_engine.training.config import InteractionSection, TrainingConfig
from factorizer_engine.training.data.augmentation import happens

Predict = Callable[[Tensor], Tensor]
"""Probabilities (1, R, *S) of an input (1, C + 3 R, *S)."""


@dataclass(frozen=True)
class Prompter:
    """Corrects windows as users would, and gives the corrections to the network.

    The course of it is that of RITM (Sofiiuk et al., arXiv:2102.06583, section 3.3) and DeepEdit
    (Diaz-Pinto et al., arXiv:2305.10655): some windows without any click, as in a plain network;
    in the others some clicks at once, then the network is asked, and further clicks go to its own
    errors. That the start may be a rough segmentation, and clicks scribbles, is after nnInteractive
    (Isensee et al., arXiv:2503.08373, section 3).

    Attributes:
        settings: How often and how much.
        spacing: Voxel size in mm.
        seed: With the number of a window it decides on everything.
    """

    settings: InteractionSection
    spacing: tuple[float, float, float]
    seed: int

    @classmethod
    def of(cls, config: TrainingConfig) -> Prompter | None:
        """The one that a configuration asks for, if it does."""
        spacing = config.preprocessing.spacing
        if config.interaction.clicks == 0 or spacing is None:
            return None
        return cls(config.interaction, spacing, config.run.seed)

    def with_prompts(
        self, image: Tensor, target: Tensor, number: int, predict: Predict
    ) -> tuple[Tensor, Tensor]:
        """The input of window `number`, and where it was clicked.

        Args:
            image: (C, X, Y, Z).
            target: Region masks (R, X, Y, Z); negative where unknown.
            predict: Asks the network.

        Returns:
            Image with prompt channels (C + 3 R, X, Y, Z), and booleans (X, Y, Z) that are true
            within `near_mm` of the clicks.
        """
        generator = np.random.default_rng([self.seed, 2, number])
        window = _Window(image, target.cpu().numpy(), self.spacing, self.settings)
        if generator.random() >= self.settings.plain:
            window.masks = self._start(window, generator, predict)
            left = int(generator.integers(1, self.settings.clicks + 1))
            while True:
                at_once = int(generator.integers(1, left + 1))
                window.correct(at_once, generator)
                left -= at_once
                if left == 0:
                    break
                window.masks = _asked(window, predict)
        return window.input(), window.near_clicks()

    def _start(
        self, window: _Window, generator: np.random.Generator, predict: Predict
    ) -> np.ndarray:
        if happens(self.settings.empty, generator):
            return np.zeros(window.target.shape, dtype=bool)
        if generator.random() >= self.settings.rough:
            return _asked(window, predict)
        seeds = generator.integers(2**32, size=len(window.target))
        if generator.random() < 0.5:  # the same piece of all regions
            seeds[:] = seeds[0]
        return np.stack(
            [
                rough_copy(mask, self.spacing, np.random.default_rng(seed))
                for mask, seed in zip(window.target > 0, seeds, strict=True)
            ]
        )


class _Window:
    """A window that is being corrected.

    Args:
        image: (C, X, Y, Z).
        target: Region masks (R, X, Y, Z); negative where unknown.
        spacing: Voxel size in mm.

    Attributes:
        masks: Where regions are said to hold (R, X, Y, Z); None before anybody has said so.
        strokes: The clicks so far.
    """

    def __init__(
        self,
        image: Tensor,
        target: np.ndarray,
        spacing: Sequence[float],
        settings: InteractionSection,
    ) -> None:
        self._image, self.target = image, target
        self._spacing, self._settings = spacing, settings
        self.masks: np.ndarray | None = None
        self.strokes: list[Stroke] = []

    def correct(self, count: int, generator: np.random.Generator) -> None:
        """Click on the errors of `masks`, each of them once, in regions drawn at random."""
        assert self.masks is not None
        seen = np.where(self.target < 0, self.masks, self.target > 0).astype(bool)
        expected = self.masks.copy()
        for _ in range(count):
            wrong = np.flatnonzero((expected != seen).any(axis=(1, 2, 3)))
            if not len(wrong):
                return
            region = int(generator.choice(wrong))
            truth = seen[region]
            stroke = next_stroke(
                expected[region],
                truth,
                region,
                self._spacing,
                generator,
                self._settings.scribbles,
            )
            assert stroke is not None  # something is wrong there
            self.strokes.append(stroke)
            expected[region] = _without_error(expected[region], truth, stroke)

    def input(self) -> Tensor:
        """Image and prompt channels (C + 3 R, X, Y, Z)."""
        prompts = prompt_channels(
            self.strokes,
            self.masks,
            len(self.target),
            self.target.shape[1:],
            self._spacing,
            PromptSettings(self._settings.radius_mm),
        )
        return torch.cat([self._image, torch.from_numpy(prompts).to(self._image.device)])

    def near_clicks(self) -> Tensor:
        """Booleans (X, Y, Z)."""
        away = np.ones(self.target.shape[1:], dtype=bool)
        for stroke in self.strokes:
            away[tuple(np.rint(stroke.points).astype(int).T)] = False
        if away.all():
            return torch.from_numpy(~away)
        distance = ndimage.distance_transform_edt(away, sampling=self._spacing)
        return torch.from_numpy(distance <= self._settings.near_mm)


def _asked(window: _Window, predict: Predict) -> np.ndarray:
    return (predict(window.input()[None])[0] >= 0.5).cpu().numpy()


def _without_error(mask: np.ndarray, truth: np.ndarray, stroke: Stroke) -> np.ndarray:
    """The mask without the connected error at a stroke."""
    pieces, _ = ndimage.label(mask != truth)
    own = pieces == pieces[tuple(np.rint(stroke.points[0]).astype(int))]
    return np.where(own, truth, mask)
