"""Who is trained on, selected on and held out."""

from __future__ import annotations

import json
import re

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


LACKED, NEW = (
    "the dataset lacks 1 of the 3 cases that it names (such as c)",
    "it does not name 1 case (such as d)",
)


@pytest.mark.parametrize(
    ("present", "told"),
    [("abd", f"{LACKED} and {NEW}"), ("ab", LACKED), ("abcd", NEW)],
)
def test_a_split_file_of_other_cases_is_refused_for_what_differs(tmp_path, present, told):
    section = SplitSection(file=str(tmp_path / "s.json"), folds=2)
    make_split(section, dict.fromkeys("abc", 1.0))
    with pytest.raises(BadInputError, match=re.escape(f"of another dataset: {told}. Name")):
        make_split(section, dict.fromkeys(present, 1.0))


SESSIONS = {f"sub-{n:02d}_ses-{s}": float(n + s) for n in range(8) for s in (1, 2)}


def test_sessions_of_a_patient_are_in_one_fold(tmp_path):
    split = make_split(SplitSection(file=str(tmp_path / "s.json"), folds=4), SESSIONS)
    assert len(split.validation) == 4 and len(split.train) == 12
    measured, learned = ({name[:6] for name in use} for use in (split.validation, split.train))
    assert not measured & learned


def test_the_names_of_a_patients_cases_can_be_described(tmp_path):
    volumes = {f"Meier{n}_20{year}": float(n) for n in range(6) for year in (19, 20)}
    section = SplitSection(file=str(tmp_path / "s.json"), folds=3, patient="[^_]+")
    split = make_split(section, volumes)
    assert not {n[:6] for n in split.validation} & {n[:6] for n in split.train}


@pytest.mark.parametrize("part", ["validation", "held_out"])
def test_a_patient_who_is_trained_on_is_not_measured(tmp_path, part):
    section = SplitSection(file=str(tmp_path / "s.json"), **{part: ("sub-03_ses-2",)})
    with pytest.raises(BadInputError, match="are of one patient, sub-03, but the split puts"):
        make_split(section, SESSIONS)
    assert make_split(section.model_copy(update={"patient": ".*"}), SESSIONS).train


def test_a_case_that_a_split_file_both_holds_out_and_trains_on_is_refused(tmp_path):
    content = {"folds": [["a"], ["b", "c"]], "always_train": [], "held_out": ["c"]}
    (tmp_path / "s.json").write_text(json.dumps(content))
    section = SplitSection(file=str(tmp_path / "s.json"))
    with pytest.raises(BadInputError, match="holds out the case c and uses it for training, too"):
        make_split(section, {"a": 1.0, "b": 2.0, "c": 3.0})


def test_a_split_file_of_another_number_of_folds_is_refused(tmp_path):
    volumes = {f"case{i:02d}": float(i) for i in range(12)}
    make_split(SplitSection(file=str(tmp_path / "s.json"), folds=3), volumes)
    with pytest.raises(BadInputError, match="s.json has 3 folds and not 10"):
        make_split(SplitSection(file=str(tmp_path / "s.json"), folds=10, fold=1), volumes)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_cases_are_validated_on_too(tmp_path, count):
    volumes = {f"case{n}": float(n) for n in range(count)}
    for seed in range(6):
        section = SplitSection(file=str(tmp_path / f"{count}-{seed}.json"), seed=seed)
        assert make_split(section, volumes).validation


def test_more_folds_than_patients_are_refused(tmp_path):
    volumes = {f"sub-{n}_ses-{s}": 1.0 for n in range(3) for s in range(4)}
    section = SplitSection(file=str(tmp_path / "s.json"), folds=5)
    with pytest.raises(BadInputError, match="3 patients are too few for 5 folds"):
        make_split(section, volumes)
