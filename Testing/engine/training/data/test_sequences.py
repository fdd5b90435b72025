"""Windows of studies that lack sequences."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from engine.training.windows import NOTHING
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection, PreprocessingSection
from factorizer_engine.training.data.cases import UNKNOWN, CaseCache
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.sampling import WindowDataset
from factorizer_engine.training.data.sequences import drop_sequences


def test_every_part_but_none_and_all_is_left_equally_often():
    generator = np.random.default_rng(0)
    image, target = torch.ones(3, 2, 2, 2), torch.ones(1, 2, 2, 2)
    left = Counter()
    for _ in range(1200):
        changed, _target = drop_sequences(image, target, [()], generator)
        left[tuple(changed.amax(dim=(1, 2, 3)).tolist())] += 1
    assert len(left) == 6 and (0, 0, 0) not in left and (1, 1, 1) not in left
    assert 140 < min(left.values()) and max(left.values()) < 260
    assert image.all() and target.all()


def test_what_cannot_be_seen_any_more_is_unknown():
    generator = np.random.default_rng(1)
    image, target = torch.ones(2, 2, 2, 2), torch.ones(2, 2, 2, 2)
    for _ in range(20):
        changed, masks = drop_sequences(image, target, [(1,), ()], generator)
        assert (masks[0] == (1.0 if changed[1].any() else UNKNOWN)).all()
        assert (masks[1] == 1).all()


def test_windows_lack_sequences_as_often_as_asked(dataset_dir, tmp_path):
    section = DataSection(root=str(dataset_dir), needs={"core": ("B",)})
    dataset = open_dataset(section)
    assert dataset.needed == ((), (1,), ())
    cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection())
    settings = NOTHING.model_copy(update={"sequence_dropout": 0.5})
    windows = WindowDataset(cache, ["blob_0"], (8, 8, 8), settings, 1.0, 1, dataset.needed)
    found = [windows[number] for number in range(60)]
    lacks = [not all(channel.any() for channel in image) for image, _ in found]
    assert 15 < sum(lacks) < 45
    for image, target in found:
        assert bool((target[1] == UNKNOWN).all()) == (not image[1].any())


@pytest.mark.parametrize("needs", [{"edge": ("A",)}, {"core": ("PET",)}])
def test_needs_name_what_the_data_have(dataset_dir, needs):
    with pytest.raises(BadInputError, match="data.needs names the .* is unknown"):
        open_dataset(DataSection(root=str(dataset_dir), needs=needs))
