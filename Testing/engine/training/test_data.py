"""Datasets, splits and the checks before training."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import make_case, write_image
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import (
    DataSection,
    PreprocessingSection,
    SplitSection,
    load_config,
)
from factorizer_engine.training.data.cases import CaseCache, read_channels
from factorizer_engine.training.data.checks import check_dataset
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.splits import make_split, stratified_folds
from factorizer_engine.training.run.checks import check_training


def problems(root) -> list[str]:
    return [str(p) for p in check_dataset(open_dataset(DataSection(root=str(root)))).problems]


def test_an_nnunet_folder_describes_itself(dataset_dir):
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    assert dataset.channels == ("A", "B")
    assert dataset.regions == {"whole": (1, 2), "core": (2,), "rim": (1,)}
    assert [len(case.images) for case in dataset.cases] == [2] * 6


def test_an_msd_folder_with_four_dimensional_images_is_understood(tmp_path):
    root = tmp_path / "msd"
    for number in range(2):
        image = np.random.default_rng(number).normal(size=(8, 9, 10, 3)).astype(np.float32)
        write_image(root / "imagesTr" / f"case_{number:03d}.nii.gz", image)
        label = np.zeros((8, 9, 10), np.uint8)
        label[2:4] = 1
        write_image(root / "labelsTr" / f"case_{number:03d}.nii.gz", label)
    description = {
        "modality": {"0": "FLAIR", "1": "T1", "2": "T2"},
        "labels": {"0": "background", "1": "lesion"},
    }
    (root / "dataset.json").write_text(json.dumps(description))
    dataset = open_dataset(DataSection(root=str(root)))
    assert dataset.channels == ("FLAIR", "T1", "T2")
    assert dataset.regions == {"lesion": (1,)}
    scans = read_channels(dataset.cases[1])
    expected = nib.load(dataset.cases[1].images[0]).get_fdata()
    assert [np.abs(s.array - expected[..., i]).max() for i, s in enumerate(scans)] == [0, 0, 0]
    assert not check_dataset(dataset).problems


def test_a_bids_folder_with_derivatives_is_understood(tmp_path):
    root = tmp_path / "stroke"
    for number in (1, 2):
        session = f"sub-{number}/ses-1"
        name = f"sub-{number}_ses-1"
        for channel in ("dwi", "adc", "FLAIR"):
            write_image(root / "rawdata" / session / f"{name}_{channel}.nii.gz", np.eye(8)[None])
        write_image(root / "derivatives" / session / f"{name}_msk.nii.gz", np.ones((1, 8, 8)))
    section = DataSection(
        root=str(root),
        channels=("DWI", "FLAIR"),
        regions={"lesion": (1,)},
        exclude=("sub-2_ses-1",),
    )
    (case,) = open_dataset(section).cases
    assert case.name == "sub-1_ses-1"
    assert [p.name for p in case.images] == ["sub-1_ses-1_dwi.nii.gz", "sub-1_ses-1_FLAIR.nii.gz"]
    with pytest.raises(BadInputError, match="sub-1_ses-1 lacks the channel T1"):
        open_dataset(section.model_copy(update={"channels": ("T1",)}))


def test_a_missing_channel_is_named_by_file(dataset_dir):
    (dataset_dir / "imagesTr" / "blob_3_0001.nii.gz").unlink()
    with pytest.raises(BadInputError, match="blob_3 lacks channel 1: imagesTr/blob_3_0001"):
        open_dataset(DataSection(root=str(dataset_dir)))


def test_a_sound_dataset_has_no_problems(dataset_dir):
    assert problems(dataset_dir) == []


def test_unknown_label_values_are_named_by_file(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_2.nii.gz"
    label = np.asarray(nib.load(path).dataobj).copy()
    label[0, 0, 0] = 7
    write_image(path, label)
    assert problems(dataset_dir) == ["labelsTr/blob_2.nii.gz: The label has the unknown value 7."]


def test_a_label_on_another_grid_is_named_by_file(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_1.nii.gz"
    write_image(path, np.asarray(nib.load(path).dataobj), spacing=2.0)
    found = problems(dataset_dir)
    assert len(found) == 1
    assert found[0].startswith("labelsTr/blob_1.nii.gz: The label lies on another grid")


def test_a_truncated_image_is_named_by_file(dataset_dir):
    path = dataset_dir / "imagesTr" / "blob_4_0001.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    found = problems(dataset_dir)
    assert len(found) == 1
    assert found[0].startswith("imagesTr/blob_4_0001.nii.gz")


def test_an_empty_label_is_remarked_but_allowed(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_0.nii.gz"
    write_image(path, np.zeros((20, 22, 18), np.uint8))
    report = check_dataset(open_dataset(DataSection(root=str(dataset_dir))))
    assert not report.problems
    assert [remark.file for remark in report.remarks] == ["labelsTr/blob_0.nii.gz"]


def test_a_region_that_no_case_has_is_a_problem(dataset_dir):
    section = DataSection(root=str(dataset_dir), regions={"whole": (1, 2), "cyst": (9,)})
    found = check_dataset(open_dataset(section)).problems
    assert [p.message for p in found] == ["No case has the region cyst (values [9])."]


def test_a_dataset_of_one_case_is_refused(tmp_path):
    make_case(tmp_path / "one", "only", 0)
    section = DataSection(
        root=str(tmp_path / "one"), channels=("A", "B"), regions={"whole": (1, 2)}
    )
    with pytest.raises(BadInputError, match="only the case only"):
        check_dataset(open_dataset(section))


def test_too_little_disk_space_is_noticed_before_training(settings, write_config, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(BadInputError, match="pre-processed cases and checkpoints need .* MB"):
        check_training(load_config(write_config(settings)))


def test_folds_hold_small_and_large_lesions_alike():
    volumes = {f"case{i:02d}": float(i) for i in range(20)}
    folds = stratified_folds(volumes, 5, seed=42)
    assert sorted(name for fold in folds for name in fold) == sorted(volumes)
    for fold in folds:
        assert [int(volumes[name]) // 5 for name in fold] == [0, 1, 2, 3]


def test_a_split_is_kept_and_does_not_change_with_the_seed_afterwards(tmp_path):
    volumes = {f"case{i:02d}": float(i) for i in range(12)}
    first = SplitSection(file=str(tmp_path / "s.json"), folds=4, fold=1, held_out=("case03",))
    split = make_split(first, volumes)
    again = make_split(first.model_copy(update={"seed": 7}), volumes)
    assert split == again
    assert split.held_out == ("case03",)
    assert "case03" not in split.train + split.validation
    assert len(split.train) + len(split.validation) == 11


def test_a_split_file_of_other_cases_is_refused(tmp_path):
    section = SplitSection(file=str(tmp_path / "s.json"), folds=2)
    make_split(section, {"a": 1.0, "b": 2.0, "c": 3.0})
    with pytest.raises(BadInputError, match="disagree about the case '[cd]'"):
        make_split(section, {"a": 1.0, "b": 2.0, "d": 3.0})


def test_cached_cases_are_the_prepared_ones(dataset_dir, tmp_path):
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    section = PreprocessingSection(spacing=(2.0, 2.0, 2.0), crop_margin=0)
    made = CaseCache(tmp_path / "cache", dataset, section).get("blob_1")
    read = CaseCache(tmp_path / "cache", dataset, section).get("blob_1")
    assert made.image.shape == (2, 10, 11, 9)
    assert (made.image == read.image).all() and (made.target == read.target).all()
    reference = (np.asarray(nib.load(dataset.case("blob_1").label).dataobj) > 0).sum()
    assert 8 * made.target[0].sum().item() == pytest.approx(reference, rel=0.15)
