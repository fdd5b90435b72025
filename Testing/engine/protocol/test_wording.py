"""Names and numbers in sentences."""

from __future__ import annotations

from factorizer_engine.protocol.wording import counted, enumerated


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
