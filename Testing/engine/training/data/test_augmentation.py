"""Windows cut out of a volume, and what is changed about them."""

from __future__ import annotations

import numpy as np
import torch

from engine.training.windows import EVERYTHING, NOTHING, SPACING
from factorizer_engine.training.data import augmentation
from factorizer_engine.training.data.augmentation import (
    change_intensities,
    cut_window,
    happens,
    misregister,
)


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
