"""How a model of a configuration presents itself."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.description import regions_and_labels


def test_painting_the_regions_gives_the_training_labels_back():
    label = np.array([0, 1, 2, 4])
    unions = {"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}
    regions, labels = regions_and_labels(unions, {"core": 1, "oedema": 2, "enhancing": 4}, {}, {})
    painted = np.zeros_like(label)
    for region in sorted(regions, key=lambda r: r.order):
        painted[np.isin(label, unions[region.name])] = region.label
    assert painted.tolist() == label.tolist()
    assert [(entry.value, entry.name) for entry in labels] == [
        (1, "Core"),
        (2, "Oedema"),
        (4, "Enhancing"),
    ]


@pytest.mark.parametrize(
    ("unions", "orders"),
    [
        ({"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}, [2, 1, 0]),
        ({"head": (1,), "tail": (2,)}, [0, 0]),
        ({"left": (1,), "right": (2,), "all": (1, 2, 3)}, [1, 1, 0]),
        ({"a": (1, 2, 3), "b": (3, 4), "c": (4, 5), "d": (6,)}, [0, 1, 2, 0]),
    ],
)
def test_only_regions_without_a_common_value_exclude_each_other(unions, orders):
    regions, _ = regions_and_labels(unions, {}, {}, {})
    assert [region.order for region in regions] == orders


def test_a_region_without_a_value_of_its_own_cannot_be_painted():
    with pytest.raises(BadInputError, match="region all has no label value"):
        regions_and_labels({"a": (1,), "b": (2,), "all": (1, 2)}, {}, {}, {})
