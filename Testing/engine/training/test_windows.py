"""Training windows: augmentation and sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factorizer_engine.training.config import (
    AugmentationSection,
    DataSection,
    PreprocessingSection,
)
from factorizer_engine.training.data import augmentation, heads
from factorizer_engine.training.data.augmentation import (
    change_intensities,
    cut_window,
    happens,
    misregister,
)
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.heads import add_head
from factorizer_engine.training.data.lesions import change_lesion_contrast, put_lesions
from factorizer_engine.training.data.sampling import WindowDataset, window_loader

SPACING = (1.0, 1.0, 1.0)
NOTHING = AugmentationSection(
    flip=0, affine=0, noise=0, smoothing=0, intensity_scale=0, shift=0, gamma=0
)
EVERYTHING = AugmentationSection(
    flip=0.5,
    affine=1,
    elastic=1,
    noise=1,
    smoothing=1,
    intensity_scale=1,
    shift=1,
    gamma=1,
    bias_field=1,
    low_resolution=1,
    channel_dropout=0.5,
    misregistration=1,
    head=0.5,
    lesions_of_others=0.5,
    lesion_contrast=0.5,
)


@pytest.fixture
def prepared(dataset_dir, tmp_path) -> tuple[CaseCache, list[str]]:
    """Prepared cases and the names of all of them."""
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection(crop_margin=0))
    return cache, [case.name for case in dataset.cases]


@pytest.fixture
def windows(prepared):
    cache, names = prepared
    return WindowDataset(cache, names[:4], (12, 12, 12), EVERYTHING, foreground=0.7, seed=3)


def test_without_augmentation_a_window_is_the_exact_crop():
    image = torch.arange(10 * 11 * 12.0).reshape(1, 10, 11, 12)
    window, _ = cut_window(
        image, image > 500, [4.5, 5.5, 6.5], (4, 4, 4), NOTHING, SPACING, np.random.default_rng(0)
    )
    assert torch.equal(window, image[:, 3:7, 4:8, 5:9])


def test_a_window_beyond_the_volume_is_filled_with_zeros():
    image = torch.ones(1, 6, 6, 6)
    window, target = cut_window(
        image, image, [0.5, 2.5, 2.5], (4, 8, 6), NOTHING, SPACING, np.random.default_rng(0)
    )
    assert window.shape == (1, 4, 8, 6)
    assert window.sum() == target.sum() == 3 * 6 * 6


def test_a_window_wholly_beyond_the_volume_is_empty():
    image = torch.ones(1, 6, 6, 6)
    for center in ([40.0, 3, 3], [3, -40.0, 3]):
        window, _ = cut_window(
            image, image, center, (4, 8, 6), NOTHING, SPACING, np.random.default_rng(0)
        )
        assert window.shape == (1, 4, 8, 6) and not window.any()


def test_the_identity_transformation_samples_the_crop(monkeypatch):
    monkeypatch.setattr(augmentation, "_random_matrix", lambda *args: np.eye(3))
    image = torch.randn(2, 9, 10, 11)
    settings = NOTHING.model_copy(update={"affine": 1.0})
    window, _ = cut_window(
        image, image, [4.0, 5.0, 6.0], (5, 5, 5), settings, SPACING, np.random.default_rng(0)
    )
    assert torch.allclose(window, image[:, 2:7, 3:8, 4:9], atol=1e-5)


def test_a_quarter_turn_turns_image_and_mask_alike(monkeypatch):
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    monkeypatch.setattr(augmentation, "_random_matrix", lambda *args: quarter)
    image = torch.zeros(1, 9, 9, 9)
    image[0, 4, 6, 4] = 1.0
    settings = NOTHING.model_copy(update={"affine": 1.0})
    window, mask = cut_window(
        image, image, [4.0, 4.0, 4.0], (9, 9, 9), settings, SPACING, np.random.default_rng(0)
    )
    # output o reads the volume at R o, so the point at (0, +2, 0) is read from o = R^T (0, 2, 0)
    assert mask.nonzero().tolist() == [[0, 6, 4, 4]]
    assert window[0, 6, 4, 4] > 0.99


def test_image_and_masks_stay_together_under_every_transformation():
    generator = np.random.default_rng(5)
    image = torch.from_numpy(generator.random((1, 24, 24, 24)) > 0.5).float()
    image = augmentation.smooth(image, 3.0)
    image = image / image.max()
    settings = EVERYTHING.model_copy(update={"rotation": 30.0})
    for _ in range(5):
        window, mask = cut_window(
            image, image, [12, 12, 12], (12, 12, 12), settings, SPACING, generator
        )
        assert torch.equal(mask, (window >= 0.5).float())


def test_windows_are_reproducible_and_different(windows):
    first, again, other = windows[7], windows[7], windows[8]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_all_augmentations_together_keep_shape_and_numbers(windows):
    for number in range(8):
        image, target = windows[number]
        assert image.shape == (2, 12, 12, 12) and target.shape == (3, 12, 12, 12)
        assert torch.isfinite(image).all()
        assert set(target.unique().tolist()) <= {0.0, 1.0}


def test_every_round_visits_every_case_once(windows):
    names = [windows._name(number) for number in range(12)]
    assert [sorted(names[i : i + 4]) for i in (0, 4, 8)] == [sorted(set(names))] * 3


def test_windows_are_centred_in_regions_as_often_as_asked(dataset_dir, tmp_path):
    dataset = open_dataset(
        DataSection(root=str(dataset_dir), regions={"whole": (1, 2), "core": (2,)})
    )
    cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection(crop_margin=0))
    names = [case.name for case in dataset.cases]
    shares = []
    for foreground in (0.0, 0.5, 1.0):
        windows = WindowDataset(cache, names, (5, 5, 5), NOTHING, foreground, seed=3)
        shares.append(np.mean([bool(windows[n][1].any()) for n in range(120)]))
    assert shares[0] < shares[1] < shares[2]
    assert shares[0] < 0.5 and shares[2] == 1.0


def test_background_stays_zero_under_contrast_changes():
    image = torch.randn(2, 8, 8, 8)
    image[:, :4] = 0
    settings = EVERYTHING.model_copy(update={"smoothing": 0, "low_resolution": 0})
    changed = change_intensities(image, settings, np.random.default_rng(1))
    assert not changed[:, :4].any() and not torch.equal(changed, image)


def test_options_that_are_off_draw_no_random_numbers():
    generator = np.random.default_rng(0)
    assert not happens(0.0, generator)
    assert generator.random() == np.random.default_rng(0).random()


def test_misregistration_leaves_the_first_channel_and_moves_the_others_a_little():
    image = torch.zeros(3, 21, 21, 21)
    image[:, 10, 10, 10] = 1.0
    image = augmentation.smooth(image, 2.0)
    settings = NOTHING.model_copy(
        update={"misregistration_mm": 4.0, "misregistration_degrees": 2.0}
    )
    distances = []
    for seed in range(8):
        moved = misregister(image, settings, (2.0, 2.0, 2.0), np.random.default_rng(seed))
        assert torch.equal(moved[0], image[0])
        for channel in moved[1:]:
            peak = np.array(np.unravel_index(int(channel.argmax()), channel.shape))
            distances.append(2 * np.linalg.norm(peak - 10))
    assert 1.5 < max(distances) <= 4.0 + np.sqrt(3)  # found to the nearest voxel


def test_misregistration_by_nothing_changes_nothing():
    image = torch.randn(2, 9, 10, 11)
    still = NOTHING.model_copy(update={"misregistration_mm": 0.0, "misregistration_degrees": 0.0})
    moved = misregister(image, still, (1.0, 2.0, 3.0), np.random.default_rng(0))
    assert torch.allclose(moved, image, atol=1e-5)


def brain_with_lesion(value: float, lesion: tuple[slice, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """A window (2, 40, 40, 40) of a brain of one intensity, and the mask of its lesion."""
    image = torch.zeros(2, 40, 40, 40)
    image[:, 4:36, 4:36, 4:36] = value
    mask = torch.zeros(1, 40, 40, 40)
    mask[(0, *lesion)] = 1.0
    return image, mask


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


def stripped_window() -> torch.Tensor:
    """Z-scores in the middle of a window, zero around."""
    image = torch.zeros(2, 24, 24, 24)
    image[:, 8:16, 8:16, 8:16] = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    return image


def test_a_head_surrounds_the_brain_and_normalises_it_anew():
    image = stripped_window()
    brain = image[0] != 0
    with_black_air = 0
    for seed in range(12):
        changed = add_head(image, (2.0, 2.0, 2.0), np.random.default_rng(seed))
        for own, new in zip(image, changed, strict=True):
            first, second = own[brain][:2], new[brain][:2]
            slope = (second[1] - second[0]) / (first[1] - first[0])
            expected = second[0] + slope * (own[brain] - first[0])
            assert slope > 0 and torch.allclose(new[brain], expected, atol=1e-4)
        assert ((changed != 0).all(dim=0) & ~brain).sum() > 500
        with_black_air += int(changed[0, 0, 0, 0] == 0)
    assert 0 < with_black_air < 12


def test_air_beyond_the_brain_needs_no_brain_in_the_window():
    changed = add_head(torch.zeros(2, 8, 8, 8), (1.0, 1.0, 1.0), np.random.default_rng(3))
    assert torch.isfinite(changed).all()


def test_the_statistics_of_a_mixture_are_those_of_its_samples():
    generator = np.random.default_rng(0)
    zero, levels = -3.0, np.array([0.3, 0.1, 2.0, 0.6])
    shares = np.array([0.1, 0.1, 0.2, 0.1, 0.2])
    counts = (np.array([0.3, *shares]) * 200_000).astype(int)
    means = [0.0, *(zero * (1 - levels)), zero]
    spreads = [1.0, *[0.6] * 4, 0.0]
    values = np.concatenate(
        [generator.normal(m, s, n) for m, s, n in zip(means, spreads, counts, strict=True)]
    )
    found = heads._statistics(zero, levels, shares)
    assert found == pytest.approx((values.mean(), values.std()), rel=0.02, abs=0.01)


def test_windows_lie_further_out_only_with_a_head(prepared):
    cache, names = prepared
    shares = []
    for probability in (0.0, 1.0):
        settings = NOTHING.model_copy(update={"head": probability})
        windows = WindowDataset(cache, names, (12, 12, 12), settings, foreground=0.0, seed=3)
        centers = [
            windows._center(cache.get(names[0]), np.random.default_rng(n), 0.0, 25.0 * probability)
            for n in range(30)
        ]
        shares.append(np.mean([(c < 5.5).any() or (c > 15).any() for c in centers]))
        assert all(torch.isfinite(windows[n][0]).all() for n in range(4))
    assert shares[0] < shares[1]


def test_processes_share_out_the_windows_of_a_single_process(windows):
    alone = list(window_loader(windows, 2, 5, batch_size=4))
    shares = [
        list(window_loader(windows, 2, 5, batch_size=2, rank=rank, ranks=2)) for rank in range(2)
    ]
    for step in range(3):
        together = torch.cat([shares[0][step][0], shares[1][step][0]])
        assert torch.equal(together, alone[step][0])
