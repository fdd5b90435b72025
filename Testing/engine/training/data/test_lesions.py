"""Lesions of other cases, and fainter ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.training.windows import NOTHING, SPACING, brain_with_lesion
from factorizer_engine.training.data.cases import PreparedCase
from factorizer_engine.training.data.lesions import (
    change_lesion_contrast,
    heal_lesions,
    put_lesions,
)
from factorizer_engine.training.data.sampling import WindowDataset


def test_lesions_of_another_case_come_with_their_masks_and_leave_the_rest():
    image, target = brain_with_lesion(1.0, (slice(6, 9),) * 3)
    donor = brain_with_lesion(2.0, (slice(24, 28),) * 3)
    mixed, masks = put_lesions(image, target, donor, (2.0, 1.0, 1.0), np.random.default_rng(0))
    assert torch.equal(masks, target + donor[1])
    assert (mixed[:, donor[1][0] > 0] == 2.0).all() and (mixed[:, target[0] > 0] == 1.0).all()
    assert ((mixed > 1.0) & (mixed < 2.0)).any(), "the seam is soft"
    moved = (mixed != image).any(dim=0).nonzero()
    extent = moved.amax(dim=0) - moved.amin(dim=0)
    assert extent[0] < extent[1] == extent[2], "margins are millimetres"


def test_a_lesion_takes_the_place_of_the_one_that_lies_there():
    image, target = brain_with_lesion(1.0, (slice(5, 30),) * 3)
    donor = brain_with_lesion(2.0, (slice(24, 26),) * 3)
    _, masks = put_lesions(image, target, donor, SPACING, np.random.default_rng(0))
    assert masks[0, 24:26, 24:26, 24:26].all()
    assert not masks[0, 26, 24:26, 24:26].any(), "tissue around the other lesion comes, too"
    assert masks[0, 5, 24, 24], "what lies further away stays"


def test_lesions_of_others_stay_within_the_brain():
    image, target = brain_with_lesion(1.0, (slice(6, 9),) * 3)
    donor = (torch.full_like(image, 2.0), torch.zeros_like(target))
    donor[1][0, 30:40, 20:24, 20:24] = 1.0
    mixed, masks = put_lesions(image, target, donor, SPACING, np.random.default_rng(0))
    outside = (image == 0).all(dim=0)
    assert not mixed[:, outside].any() and not masks[:, outside].any()
    assert masks[0, 30:36, 20:24, 20:24].all()


def test_a_donor_without_lesion_changes_nothing():
    image, target = brain_with_lesion(1.0, (slice(6, 9),) * 3)
    donor = brain_with_lesion(2.0, (slice(0, 0),) * 3)
    mixed, masks = put_lesions(image, target, donor, SPACING, np.random.default_rng(0))
    assert torch.equal(mixed, image) and torch.equal(masks, target)


def test_windows_with_lesions_of_others_show_more_lesion(prepared):
    cache, names = prepared
    volumes = []
    for probability in (0.0, 1.0):
        settings = NOTHING.model_copy(update={"lesions_of_others": probability})
        windows = WindowDataset(cache, names, (12, 12, 12), settings, foreground=0.0, seed=3)
        volumes.append(np.mean([float(windows[n][1].any(dim=0).sum()) for n in range(40)]))
    assert volumes[1] > volumes[0]


def test_lesions_become_fainter_and_the_rest_stays():
    image, target = brain_with_lesion(1.0, (slice(16, 20),) * 3)
    brain, lesion = image[0] != 0, target[0] > 0
    image[:, brain] += torch.linspace(-0.1, 0.1, int(brain.sum()))
    image[:, lesion] = torch.tensor([[5.0], [-3.0]])
    healthy = image[:, brain & ~lesion].median(dim=1).values
    changed = change_lesion_contrast(image, target, (0.5, 0.5), SPACING, np.random.default_rng(0))
    halfway = (image[:, lesion] + healthy[:, None]) / 2
    torch.testing.assert_close(changed[:, lesion], halfway)
    assert torch.equal(changed[:, :9], image[:, :9]), "far from the lesion"
    assert not changed[:, ~brain].any()


@pytest.mark.parametrize("masks", [torch.zeros, torch.ones])
def test_contrast_needs_lesion_and_healthy_tissue(masks):
    image, target = torch.full((2, 8, 8, 8), 3.0), masks(1, 8, 8, 8)
    changed = change_lesion_contrast(image, target, (0.5, 0.5), SPACING, np.random.default_rng(0))
    assert torch.equal(changed, image)


def test_windows_with_fainter_lesions_differ_in_lesions_only(prepared):
    cache, names = prepared
    faint = NOTHING.model_copy(update={"lesion_contrast": 1.0, "lesion_contrast_range": (0.3, 0.3)})
    plain, fainter = (
        WindowDataset(cache, names, (12, 12, 12), settings, foreground=1.0, seed=3)[0]
        for settings in (NOTHING, faint)
    )
    assert torch.equal(plain[1], fainter[1])
    lesion = plain[1].any(dim=0)
    assert (plain[0] != fainter[0]).any(dim=0)[lesion].all()


def brain_with_sides(lesion: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """A brain that is a little off the middle, alike on both sides but for a bright lesion."""
    image, target = brain_with_lesion(1.0, (lesion, slice(14, 18), slice(14, 18)))
    image[:, 4:7], image[:, 36:39] = 0.0, 1.0  # from 7 to 38, so that 22.5 is its middle
    image[:, 7:39, 4:36, 4:36] += (torch.arange(32) - 15.5).abs()[:, None, None]
    image[:, target[0] > 0] = 50.0
    return image, target


def test_a_lesion_is_healed_by_the_other_side():
    image, target = brain_with_sides(slice(9, 13))
    healthy, _ = brain_with_sides(slice(0, 0))
    healed, masks = heal_lesions(image, target, SPACING)
    torch.testing.assert_close(healed, healthy)
    assert not masks.any()


def test_a_lesion_of_both_sides_stays_a_lesion():
    image, target = brain_with_sides(slice(9, 37))
    healed, masks = heal_lesions(image, target, SPACING)
    assert torch.equal(masks[:, 9:37], target[:, 9:37])
    assert (healed[:, target[0] > 0] == 50.0).all()


def test_tissue_around_a_lesion_is_replaced_and_the_rest_stays():
    image, target = brain_with_sides(slice(9, 13))
    image[:, 9:13, 19:21, 14:18] = 20.0  # infiltration that is not outlined
    image[:, 9:13, 30:32, 14:18] = 20.0  # something else
    healed, _ = heal_lesions(image, target, SPACING)
    assert (healed[:, 9:13, 19, 14:18] < 15.0).all()
    assert torch.equal(healed[:, :, 28:], image[:, :, 28:])


def test_what_is_unknown_stays_unknown():
    image, target = brain_with_sides(slice(9, 13))
    unknown = torch.full_like(target, -1.0)
    assert torch.equal(heal_lesions(image, unknown, SPACING)[1], unknown)
    _, masks = heal_lesions(image, torch.cat([target, unknown]), SPACING)
    assert not masks[0].any() and torch.equal(masks[1:], unknown)


class OneCase:
    """In place of a cache: a brain with a lesion on one side."""

    def get(self, name: str) -> PreparedCase:
        image, target = brain_with_sides(slice(9, 13))
        points = (np.argwhere(target[0].numpy()),)
        return PreparedCase(name, image.half(), target.byte(), points, SPACING)


@pytest.mark.parametrize("healed", [0.0, 1.0])
def test_windows_of_healed_brains_lie_where_lesions_were(healed):
    settings = NOTHING.model_copy(update={"healed": healed})
    windows = WindowDataset(OneCase(), ["one"], (24, 24, 24), settings, foreground=1.0, seed=3)
    image, target = windows[0]
    assert target.any() == (healed == 0) and (image == 50.0).any() == (healed == 0)
    assert image.any()
