"""Painted lesions and structures as targets."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
import torch

from engine.training.windows import NOTHING
from factorizer_engine.training.config import AugmentationSection
from factorizer_engine.training.data.augmentation import change_intensities
from factorizer_engine.training.data.cases import PreparedCase
from factorizer_engine.training.data.sampling import WindowDataset
from factorizer_engine.training.data.synthetic import paint_lesion, structure_mask

SPACING = (1.5, 1.5, 1.5)


def brain() -> torch.Tensor:
    """Tissue of two intensities, side by side, in a window (1, 32, 32, 32) with air around it."""
    image = torch.zeros(1, 32, 32, 32)
    image[:, 3:16, 3:29, 3:29] = 1.0
    image[:, 16:29, 3:29, 3:29] = -0.7
    return image


class OneCase:
    """In place of a cache: the brain, with a label that fills a corner of it."""

    def get(self, name: str) -> PreparedCase:
        target = torch.zeros(1, 32, 32, 32, dtype=torch.uint8)
        target[:, 4:10, 4:10, 4:10] = 1
        points = (np.argwhere(target[0].numpy()),)
        return PreparedCase(name, brain().half(), target, points, SPACING)


def windows(settings: AugmentationSection) -> WindowDataset:
    return WindowDataset(OneCase(), ["one"], (16, 16, 16), settings, foreground=0.0, seed=1)


def painted(count: int = 40) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [paint_lesion(brain(), SPACING, np.random.default_rng(n)) for n in range(count)]


def test_painted_lesions_are_brighter_or_darker_and_of_all_sizes():
    volumes, signs = [], set()
    for image, mask in painted():
        if not mask.any():
            continue  # smaller than a voxel, now and then
        lesion = mask[0] > 0
        change = (image - brain())[0][lesion].mean()
        assert change.abs() > 0.1
        signs.add(bool(change > 0))
        volumes.append(float(mask.sum()) * 1.5**3 / 1000)
    assert signs == {True, False}
    assert len(volumes) > 30 and min(volumes) < 0.2 and max(volumes) > 5


def test_what_is_outside_the_lesion_and_its_seam_stays_as_it_was():
    for image, mask in painted(20):
        changed = (image != brain())[0]
        assert not changed[brain()[0] == 0].any(), "air stays air"
        assert not mask[brain() == 0].any()
        if mask.sum() > 200:
            assert changed.sum() < 4 * mask.sum()
            assert changed[mask[0] > 0].float().mean() > 0.9


def test_nothing_is_painted_where_the_middle_is_air():
    image = torch.zeros(1, 16, 16, 16)
    image[:, :2] = 1.0
    same, mask = paint_lesion(image, SPACING, np.random.default_rng(0))
    assert torch.equal(same, image) and not mask.any()
    assert not structure_mask(image, SPACING, np.random.default_rng(0)).any()


def test_structures_are_connected_and_look_alike():
    found = set()
    for number in range(20):
        mask = structure_mask(brain(), SPACING, np.random.default_rng(number))[0] > 0
        assert mask.any() and cc3d.connected_components(mask.numpy(), connectivity=6).max() == 1
        values = brain()[0][mask]
        bright = bool(values.median() > 0)
        found.add(bright)
        assert ((values > 0) == bright).float().mean() > 0.9
    assert found == {True, False}


def test_inverted_windows_keep_their_air():
    settings = NOTHING.model_copy(update={"inversion": 1.0})
    turned = change_intensities(brain(), settings, np.random.default_rng(0))
    assert torch.equal(turned, -brain())


@pytest.mark.parametrize("name", ["painted_lesions", "structures"])
def test_windows_take_them_as_their_one_target(name):
    plain, other = (windows(NOTHING.model_copy(update={name: part})) for part in (0.0, 1.0))
    differ = [not torch.equal(plain[n][1], other[n][1]) for n in range(6)]
    assert sum(differ) > 3
    image, target = other[0]
    assert torch.equal(target, other[0][1]) and set(target.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(image, plain[0][0]) == (name == "structures")
