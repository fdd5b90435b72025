"""Cases brought into model space."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

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
