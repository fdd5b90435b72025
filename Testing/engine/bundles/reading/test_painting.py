"""Label values that a MONAI configuration paints itself."""

from __future__ import annotations

import pytest
import torch

from factorizer_engine.bundles.reading.painting import with_painted_values
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.models import ModelDescription

ZOO = (
    "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, "
    "torch.where(x[[1]] > 0, 2, 0)))"
)


def described(*names: str) -> ModelDescription:
    regions, labels, family = conventions.regions_and_labels(names)
    return ModelDescription("tiny", "1", family, "Tiny", "", (), regions, labels)


def painted(function, *names, steps=()):
    step = {"_target_": "Lambdad", "keys": "pred", "func": function}
    return with_painted_values(described(*names), [step, *steps], lambda value: value)


def test_the_zoos_glioma_network_paints_what_its_configuration_says():
    model = painted(ZOO, "Tumor core", "Whole tumor", "Enhancing tumor")
    assert {r.name: r.label for r in model.regions} == {"TC": 1, "WT": 2, "ET": 4}
    assert [r.name for r in sorted(model.regions, key=lambda r: r.order)] == ["WT", "TC", "ET"]
    known = described("Tumor core", "Whole tumor", "Enhancing tumor").labels
    assert [(label.value, label.name) for label in model.labels] == [
        (4 if label.value == 3 else label.value, label.name) for label in known
    ]
    assert not model.notes


@pytest.mark.parametrize(
    "function",
    [
        "$lambda x: torch.where(x[1] > 0.5, 7, torch.where(x[0] == 1, 9, 0))",
        "$lambda y: torch.where(y[1:2] >= 1, 7, torch.where(y[[0], ...] != 0, 9, 0)).byte()",
        "$lambda m: torch.where(m[1, :] == True, 7.0, torch.where(m[0] > 0, 9, 0)).long()",
    ],
)
def test_a_function_is_understood_as_it_computes(function):
    model = painted(function, "a", "b")
    name = function[function.index(" ") + 1 : function.index(":")]
    run = eval(f"lambda {name}{function[function.index(':') :]}", {"torch": torch})
    for a in (0.0, 1.0):
        for b in (0.0, 1.0):
            expected = int(run(torch.tensor([a, b]).reshape(2, 1)).flatten()[0])
            held = [r for r, on in zip(model.regions, (a, b), strict=True) if on]
            top = max(held, key=lambda r: r.order).label if held else 0
            assert top == expected


def test_values_may_be_mapped_to_others():
    step = {"_target_": "MapLabelValued", "orig_labels": [4, 1], "target_labels": [3, 5]}
    model = painted(ZOO, "Tumor core", "Whole tumor", "Enhancing tumor", steps=[step])
    assert {r.name: r.label for r in model.regions} == {"TC": 5, "WT": 2, "ET": 3}


def test_regions_may_share_a_value():
    model = painted("$lambda x: torch.where(x[1] > 0, 1, torch.where(x[0] > 0, 1, 0))", "a", "b")
    assert [r.label for r in model.regions] == [1, 1]
    assert [label.value for label in model.labels] == [1]


@pytest.mark.parametrize(
    "function",
    [
        "$lambda x: x * 2",
        "$lambda x: torch.where(x[0] > 0, 4, 0)",  # b is never painted
        "$lambda x: torch.where(x[0] > 0, 4, torch.where(x[1] < 1, 2, 0))",
        "$lambda x: torch.where(x[0] > 0, 4, torch.where(x[1] > 0, 2, 1))",
        "$scripts.paint",
        None,
    ],
)
def test_what_is_not_understood_is_noted(function):
    model = painted(function, "a", "b")
    assert model.regions == described("a", "b").regions
    assert "not understood" in model.notes[0]
