"""What files tell of the studies that are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.follow_up.doubts import ToldStudy, doubts_about
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.volumes import Origin


def scan(seed: int, patient: str = "", date: str = "") -> Scan:
    voxels = np.random.default_rng(seed).random((4, 5, 6), dtype=np.float32)
    return replace(Scan.of(voxels, np.eye(4)), origin=Origin(patient, date))


def said_of(first: Scan, second: Scan, models: tuple[str, str] = ("", "")) -> list[str]:
    studies = ToldStudy("first", first, models[0]), ToldStudy("second", second, models[1])
    return [*doubts_about(studies)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("", ""), ("", ""), ()),
        (("a", "20250101"), ("a", "20260101"), ()),
        (("", "20250101"), ("a", ""), ()),
        (("a", ""), ("b", ""), ("different patients",)),
        (("a", "20250101"), ("a", "20250101"), ("of one day",)),
        (("a", "20260101"), ("a", "20250101"), ("second is older than that of first",)),
        (("a", "20260101"), ("b", "20250101"), ("different patients", "is older than")),
    ],
)
def test_what_speaks_against_a_comparison_is_said(first, second, expected):
    said = said_of(scan(0, *first), scan(1, *second))
    assert len(said) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


def test_one_scan_in_two_places_is_refused():
    moved = replace(scan(0), grid=replace(scan(0).grid, affine=np.diag([1.0, 1.0, 2.0, 1.0])))
    with pytest.raises(BadInputError, match="a and c are results of one and the same scan"):
        [*doubts_about([ToldStudy("a", scan(0)), ToldStudy("b", scan(1)), ToldStudy("c", moved)])]


@pytest.mark.parametrize(
    ("models", "is_said"),
    [(("m 1.0", "m 1.1"), True), (("m 1.0", "m 1.0"), False), (("m 1.0", ""), False)],
)
def test_studies_that_different_models_have_segmented_are_told(models, is_said):
    said = said_of(scan(0), scan(1), models)
    assert (
        said
        == [
            "first was segmented by m 1.0 and second by m 1.1, so some of the change may be theirs."
        ]
        * is_said
    )


@pytest.mark.parametrize(
    ("models", "thresholds", "is_said"),
    [
        (("m 1", "m 1"), ("from 8 %", "from 50 %"), True),
        (("m 1", "m 1"), ("from 50 %", "from 50 %"), False),
        (("m 1", ""), ("from 50 %", ""), False),
        (("m 1", "n 1"), ("of m from 8 %", "of n from 50 %"), False),  # told by the models
    ],
)
def test_studies_at_other_thresholds_are_told(models, thresholds, is_said):
    studies = [ToldStudy(f"s{i}", scan(i), models[i], thresholds[i]) for i in range(2)]
    said = "The thresholds of s0 (from 8 %) are others than those of s1 (from 50 %)"
    assert [said in sentence for sentence in doubts_about(studies)] == [is_said] * (
        is_said or models[0] != models[1] != ""
    )
