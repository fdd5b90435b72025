"""Windows of studies that lack sequences."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest
import torch

from engine.training.windows import NOTHING
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection, PreprocessingSection
from factorizer_engine.training.data.cases import UNKNOWN, CaseCache
from factorizer_engine.training.data.checks import check_dataset
from factorizer_engine.training.data.dataset import open_dataset, unseen_without
from factorizer_engine.training.data.sampling import WindowDataset
from factorizer_engine.training.data.sequences import (
    random_absence,
    without_sequences,
)
from factorizer_engine.training.data.splits import Split
from factorizer_engine.training.run.checks import check_validation


def test_every_part_but_none_and_all_is_left_equally_often():
    generator = np.random.default_rng(0)
    found = Counter(random_absence(3, generator) for _ in range(1200))
    assert len(found) == 6 and () not in found and (0, 1, 2) not in found
    assert 140 < min(found.values()) and max(found.values()) < 260


def test_of_what_a_case_has_something_is_left():
    generator = np.random.default_rng(0)
    found = Counter(random_absence(3, generator, absent=(1,)) for _ in range(400))
    assert set(found) == {(0, 1), (1, 2)}
    assert 150 < found[0, 1] < 250
    assert random_absence(3, generator, absent=(0, 2)) == (0, 2)


def test_what_is_absent_is_zero_and_what_cannot_be_seen_is_unknown():
    image, target = torch.ones(2, 2, 2, 2), torch.ones(3, 2, 2, 2)
    changed, masks = without_sequences(image, target, (1,), unseen_without((1,), [(1,), (), (0,)]))
    assert changed[0].all() and not changed[1].any()
    assert (masks[0] == UNKNOWN).all() and (masks[1:] == 1).all()
    assert image.all() and target.all()


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


@pytest.fixture
def partial(dataset_dir, tmp_path):
    """Of blob_0 there is no channel B, and the label of blob_1 does not tell of the core."""
    root = shutil.copytree(dataset_dir, tmp_path / "partial")
    (root / "imagesTr" / "blob_0_0001.nii.gz").unlink()
    return open_dataset(
        DataSection(
            root=str(root),
            needs={"core": ("B",)},
            may_lack=("B",),
            unlabelled={"core": ("blob_1*",)},
        )
    )


def test_cases_may_lack_channels_and_labels_if_the_configuration_says_so(partial, tmp_path):
    cache = CaseCache(tmp_path / "cache", partial, PreprocessingSection())
    core = list(partial.regions).index("core")
    settings = NOTHING.model_copy(update={"noise": 1.0, "head": 0.5, "lesions_of_others": 1.0})

    def windows(name: str):
        dataset = WindowDataset(
            cache, ["blob_2", name], (8, 8, 8), settings, 1.0, 1, partial.needed
        )
        return [dataset[n] for n in range(40) if dataset._name(n) == name]

    for image, target in windows("blob_0"):
        assert image[0].any() and not image[1].any()
        assert (target[core] == UNKNOWN).all() and (target[:core] != UNKNOWN).all()
    for image, target in windows("blob_1"):
        assert image[1].any() and (target[core] == UNKNOWN).all()
    assert partial.is_partly_known
    assert [report.file for report in check_dataset(partial).problems] == []


def test_without_being_told_nothing_may_be_missing(dataset_dir, tmp_path):
    root = shutil.copytree(dataset_dir, tmp_path / "partial")
    (root / "imagesTr" / "blob_0_0001.nii.gz").unlink()
    with pytest.raises(BadInputError, match="blob_0 lacks channel 1 .B.: imagesTr/blob_0_0001"):
        open_dataset(DataSection(root=str(root)))
    with pytest.raises(BadInputError, match="may_lack names the channel PET"):
        open_dataset(DataSection(root=str(root), may_lack=("PET",)))
    (root / "imagesTr" / "blob_0_0000.nii.gz").unlink()
    with pytest.raises(BadInputError, match="blob_0 has no image"):
        open_dataset(DataSection(root=str(root), may_lack=("A", "B")))
    with pytest.raises(BadInputError, match="no case is called x"):
        open_dataset(DataSection(root=str(dataset_dir), unlabelled={"core": ("x",)}))


def test_weights_are_chosen_on_complete_cases_only(partial):
    with pytest.raises(BadInputError, match="blob_0 lacks B and cannot be validated on"):
        check_validation(Split(train=("blob_2",), validation=("blob_0",)), partial)
    with pytest.raises(BadInputError, match="blob_1 has a label without all regions"):
        check_validation(Split(train=("blob_2",), validation=("blob_1",)), partial)
    check_validation(Split(train=("blob_0", "blob_1"), validation=("blob_2",)), partial)
