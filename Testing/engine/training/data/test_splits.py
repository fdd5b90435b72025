"""Who is trained on, selected on and held out."""

from __future__ import annotations

import pytest

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import SplitSection
from factorizer_engine.training.data.splits import make_split, stratified_folds


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
    with pytest.raises(BadInputError, match="1 are missing, and 1 are not in it .such as c."):
        make_split(section, {"a": 1.0, "b": 2.0, "d": 3.0})
