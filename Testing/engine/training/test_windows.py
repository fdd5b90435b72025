"""Training windows: augmentation and sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factorizer_engine.training import augmentation
from factorizer_engine.training.augmentation import change_intensities, cut_window
from factorizer_engine.training.cases import CaseCache
from factorizer_engine.training.config import (
    AugmentationSection,
    DataSection,
    PreprocessingSection,
)
from factorizer_engine.training.dataset import open_dataset
from factorizer_engine.training.sampling import WindowDataset, window_loader

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
)


@pytest.fixture
def windows(dataset_dir, tmp_path):
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection(crop_margin=0))
    names = [case.name for case in dataset.cases[:4]]
    return WindowDataset(cache, names, (12, 12, 12), EVERYTHING, foreground=0.7, seed=3)


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


def test_background_stays_zero_under_contrast_changes():
    image = torch.randn(2, 8, 8, 8)
    image[:, :4] = 0
    settings = EVERYTHING.model_copy(update={"smoothing": 0, "low_resolution": 0})
    changed = change_intensities(image, settings, np.random.default_rng(1))
    assert not changed[:, :4].any() and not torch.equal(changed, image)


def test_processes_share_out_the_windows_of_a_single_process(windows):
    alone = list(window_loader(windows, 2, 5, batch_size=4))
    shares = [
        list(window_loader(windows, 2, 5, batch_size=2, rank=rank, ranks=2)) for rank in range(2)
    ]
    for step in range(3):
        together = torch.cat([shares[0][step][0], shares[1][step][0]])
        assert torch.equal(together, alone[step][0])
