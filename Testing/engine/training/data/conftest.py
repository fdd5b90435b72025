"""Prepared cases and windows of them."""

from __future__ import annotations

import pytest

from engine.training.windows import EVERYTHING
from factorizer_engine.training.config import DataSection, PreprocessingSection
from factorizer_engine.training.data.cases import CaseCache
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.sampling import WindowDataset


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
