"""Names and numbers in sentences."""

from __future__ import annotations

from factorizer_engine.protocol.wording import counted, enumerated, rounded


def test_one_is_counted_without_an_s():
    assert [counted(number, "unseen case") for number in (0, 1, 2)] == [
        "0 unseen cases",
        "1 unseen case",
        "2 unseen cases",
    ]


def test_the_last_name_follows_a_conjunction():
    assert enumerated(["A"]) == "A"
    assert enumerated(["A", "B", "C"]) == "A, B and C"
    assert enumerated(["A", "B"], "or") == "A or B"


def test_nothing_that_is_there_is_told_as_0():
    assert [rounded(value, 2) for value in (0.0, 12.345, 0.3, 0.034, 0.001, 2.7e-5)] == [
        "0.00",
        "12.35",
        "0.30",
        "0.034",
        "0.0010",
        "0.000027",
    ]
    assert [rounded(value, 0) for value in (123.4, 9.6, 0.4)] == ["123", "9.6", "0.40"]
    assert rounded(1234567.891, 1) == "1234567.9"
    assert [rounded(value, 0) for value in (0.99999, 9.99, 0.0998)] == ["1.0", "10", "0.10"]


def test_changes_have_their_sign_and_rounding_is_no_change():
    changes = (0.5, -0.004, 0.0, -1e-17)
    assert [rounded(change, 2, signed=True) for change in changes] == [
        "+0.50",
        "-0.0040",
        "+0.00",
        "+0.00",
    ]
