"""Windows drawn from cases."""

from __future__ import annotations

import numpy as np
import torch

from engine.training.windows import NOTHING
from factorizer_engine.training.config import DataSection, PreprocessingSection
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.sampling import WindowDataset, window_loader


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


def test_workers_that_are_spawned_as_on_windows_and_macos_draw_the_same_windows(windows):
    alone = list(window_loader(windows, 0, 2, batch_size=1))
    loader = window_loader(windows, 0, 2, batch_size=1, workers=1)
    loader.multiprocessing_context = "spawn"
    for (image, target), (again, same) in zip(alone, loader, strict=True):
        torch.testing.assert_close(again, image)  # a worker has one thread, which rounds otherwise
        assert torch.equal(same, target)


def test_processes_share_out_the_windows_of_a_single_process(windows):
    alone = list(window_loader(windows, 2, 5, batch_size=4))
    shares = [
        list(window_loader(windows, 2, 5, batch_size=2, rank=rank, ranks=2)) for rank in range(2)
    ]
    for step in range(3):
        together = torch.cat([shares[0][step][0], shares[1][step][0]])
        assert torch.equal(together, alone[step][0])
