"""What a model can do with some of its scans, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel, ModelDescription, Region, Subset
from factorizer_engine.protocol.subsets import accepts_fewer, cost, reduced, subset_of

ALL = ("FLAIR", "T1", "T1ce", "T2")
SUBSETS = (
    Subset(ALL, ("ET", "TC", "WT"), {"ET": 0.83, "TC": 0.87, "WT": 0.86}, 5),
    Subset(ALL[:3], ("ET", "TC", "WT"), {"ET": 0.82, "TC": 0.85, "WT": 0.86}, 5),
    Subset(("FLAIR", "T1", "T2"), ("TC", "WT"), {"TC": 0.62, "WT": 0.84}, 5),
    Subset(("FLAIR",), ("WT",), {"TC": 0.42, "WT": 0.84}, 5),
    Subset(("T1ce",), (), {"ET": 0.2, "TC": 0.22, "WT": 0.1}, 5),
    Subset(("T1ce", "T2"), ("ET",), {"ET": 0.79, "TC": 0.5, "WT": 0.5}, 5),
)
FRUGAL = ModelDescription(
    name="glioma",
    version="1",
    family="glioma",
    title="Glioma",
    summary="",
    channels=tuple(Channel(name) for name in ALL),
    regions=conventions.glioma_regions(4),
    labels=conventions.glioma_labels(4),
    subsets=SUBSETS,
)
STRICT = replace(FRUGAL, subsets=())


def test_a_model_that_declares_nothing_needs_all_of_its_scans():
    assert subset_of(STRICT, ALL).regions == ("ET", "TC", "WT")
    assert not accepts_fewer(STRICT)
    with pytest.raises(BadInputError, match="The T2 scan is missing; the model needs FLAIR, T1"):
        subset_of(STRICT, ALL[:3])
    with pytest.raises(BadInputError, match="The T1 and T2 scans are missing"):
        subset_of(STRICT, ("FLAIR", "T1ce"))


@pytest.mark.parametrize("given", [ALL, ("T2", "T1", "FLAIR", "T1ce")])
def test_all_scans_are_taken_in_any_order(given):
    assert subset_of(FRUGAL, given) is SUBSETS[0]
    assert reduced(FRUGAL, SUBSETS[0]) is FRUGAL
    assert cost(FRUGAL, SUBSETS[0]) == ""


def test_what_is_left_out_costs_what_the_card_says():
    assert accepts_fewer(FRUGAL)
    assert cost(FRUGAL, subset_of(FRUGAL, ALL[:3])) == (
        "Left out: T2. Mean Dice on 5 unseen cases: enhancing tumour 0.82 (0.83 with all scans), "
        "tumour core 0.85 (0.87 with all scans), whole tumour 0.86 (0.86 with all scans)."
    )
    assert cost(FRUGAL, subset_of(FRUGAL, ("FLAIR",))) == (
        "Left out: T1, T1ce, T2. Mean Dice on 5 unseen cases: whole tumour 0.84 (0.86 with all "
        "scans). Enhancing tumour and tumour core cannot be seen with FLAIR alone and are left out."
    )


def test_a_refusal_names_what_is_lost_and_not_what_is_as_good_as_with_all_scans():
    refused = Subset(("T1ce",), (), {"ET": 0.84, "TC": 0.88, "WT": 0.71}, 5)
    model = replace(FRUGAL, subsets=(*(s for s in SUBSETS if s.channels != ("T1ce",)), refused))
    with pytest.raises(BadInputError, match=r"not reliable \(mean .* cases: whole tumour 0.71\);"):
        subset_of(model, ("T1ce",))


def test_scans_that_show_nothing_are_refused_with_what_to_add():
    with pytest.raises(BadInputError, match=r"With T1ce alone .* 0.20, .* 0.10\); add T2\."):
        subset_of(FRUGAL, ("T1ce",))
    with pytest.raises(BadInputError, match=r"With T1 alone the model is .*; add FLAIR and T1ce"):
        subset_of(FRUGAL, ("T1",))  # of which the card does not speak
    with pytest.raises(BadInputError, match="No scan is given; the model takes one or more of"):
        subset_of(FRUGAL, ())


def test_a_label_that_holds_more_than_before_is_called_by_its_region():
    """Without the enhancing part the core is whole; without the core so is the tumour."""

    def names(given):
        return [label.name for label in reduced(FRUGAL, subset_of(FRUGAL, given)).labels]

    usual = [label.name for label in FRUGAL.labels]
    assert names(ALL[:3]) == usual
    assert names(("FLAIR", "T1", "T2")) == ["Tumour core", usual[1]]
    assert names(("FLAIR",)) == ["Whole tumour"]
    assert names(("T1ce", "T2")) == [usual[2]]
    (alone,) = reduced(FRUGAL, SUBSETS[3]).labels
    assert (alone.value, alone.terminology) == (2, conventions.LESION_IN_BRAIN)
    assert reduced(FRUGAL, SUBSETS[3]).channels == (Channel("FLAIR"),)


def test_regions_that_exclude_each_other_keep_their_names():
    regions = (Region("front", 1, "Front"), Region("back", 2, "Back"))
    labels = tuple(replace(FRUGAL.labels[0], value=v, name=n) for v, n in ((1, "F"), (2, "B")))
    subset = Subset(("FLAIR",), ("front",))
    model = replace(FRUGAL, regions=regions, labels=labels, subsets=(subset,))
    assert [label.name for label in reduced(model, subset).labels] == ["F"]
