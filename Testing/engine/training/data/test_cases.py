"""Cases brought into model space."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import write_image
from factorizer_engine.training.config import DataSection, PreprocessingSection
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import open_dataset


def test_cached_cases_are_the_prepared_ones(dataset_dir, tmp_path):
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    section = PreprocessingSection(spacing=(2.0, 2.0, 2.0), crop_margin=0)
    made = CaseCache(tmp_path / "cache", dataset, section).get("blob_1")
    read = CaseCache(tmp_path / "cache", dataset, section).get("blob_1")
    assert made.image.shape == (2, 10, 11, 9)
    assert (made.image == read.image).all() and (made.target == read.target).all()
    reference = (np.asarray(nib.load(dataset.case("blob_1").label).dataobj) > 0).sum()
    assert 8 * made.target[0].sum().item() == pytest.approx(reference, rel=0.15)


@pytest.fixture
def voxels_of(dataset_dir, tmp_path):
    """Opens the cache anew and counts the voxels of a case's regions."""

    def count(regions=None):
        dataset = open_dataset(DataSection(root=str(dataset_dir), regions=regions))
        cache = CaseCache(tmp_path / "cache", dataset, PreprocessingSection(crop_margin=0))
        return cache.get("blob_1").target.sum(dim=(1, 2, 3)).tolist()

    return count


@pytest.mark.parametrize("hours", [0, 100])
def test_a_corrected_label_takes_the_place_of_the_cached_one(dataset_dir, voxels_of, hours):
    """Also where the copy of the corrected file has the time of the old one."""
    before = voxels_of()
    path = dataset_dir / "labelsTr" / "blob_1.nii.gz"
    times = path.stat().st_atime, path.stat().st_mtime + 3600 * hours
    label = np.zeros((20, 22, 18), np.uint8)
    label[2:6, 2:6, 2:6] = 2
    write_image(path, label)
    os.utime(path, times)
    assert voxels_of() == [64, 64, 0] != before


def test_an_exchanged_image_takes_the_place_of_the_cached_one(dataset_dir, voxels_of, tmp_path):
    section = DataSection(root=str(dataset_dir))

    def image():
        preprocessing = PreprocessingSection(crop_margin=0)
        cache = CaseCache(tmp_path / "cache", open_dataset(section), preprocessing)
        return cache.get("blob_1").image

    before = image()
    folder = dataset_dir / "imagesTr"
    (folder / "blob_1_0000.nii.gz").rename(folder / "kept")
    (folder / "blob_1_0001.nii.gz").rename(folder / "blob_1_0000.nii.gz")
    (folder / "kept").rename(folder / "blob_1_0001.nii.gz")
    assert (image() == before.flip(0)).all()


def test_regions_in_another_order_are_other_cases(voxels_of):
    one, two = {"core": (2,), "whole": (1, 2)}, {"whole": (1, 2), "core": (2,)}
    assert voxels_of(one) == voxels_of(two)[::-1]


def test_a_damaged_file_of_the_cache_is_made_anew(voxels_of, tmp_path):
    before = voxels_of()
    for path in (tmp_path / "cache").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    assert voxels_of() == before
