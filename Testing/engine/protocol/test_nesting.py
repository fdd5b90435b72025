"""Regions that lie in each other, and beside each other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.messages import parse
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.nesting import mask_of, value_around
from factorizer_engine.training.description import regions_and_labels

ORGANS = {"liver": (1, 2), "tumour": (2,), "spleen": (3,)}
GLIOMA = {"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}


def regions_of(unions):
    regions, _ = regions_and_labels(unions, {}, {}, {})
    return [parse(Region, json.loads(json.dumps(region.to_dict())), "") for region in regions]


@pytest.mark.parametrize("unions", [ORGANS, GLIOMA, {"a": (1,), "b": (2,)}])
def test_regions_hold_where_the_labels_of_the_data_say(unions):
    labelmap = np.array([0, *sorted({v for values in unions.values() for v in values})])
    regions = regions_of(unions)
    for region in regions:
        expected = np.isin(labelmap, unions[region.name])
        assert mask_of(labelmap, region, regions).tolist() == expected.tolist(), region.name


def test_what_is_taken_out_of_a_tumour_is_the_organ_around_it():
    regions = {region.name: region for region in regions_of(ORGANS)}
    assert value_around(regions["tumour"], [*regions.values()]) == 1
    assert value_around(regions["spleen"], [*regions.values()]) == 0


def test_nesting_that_follows_from_the_orders_is_not_told():
    assert all(region.around is None for region in regions_of(GLIOMA))


def test_a_class_beside_a_nest_is_as_likely_as_its_own_region():
    regions, labels = regions_and_labels(ORGANS, {"liver": 1, "tumour": 2, "spleen": 3}, {}, {})
    maps = np.array([0.1, 0.6, 0.9], np.float32).reshape(3, 1, 1, 1)
    spleen = Scan.of(np.full((1, 1, 1), 3, np.uint8), np.eye(4))
    (lesion,) = find_lesions(spleen, regions, labels, maps)
    assert lesion.parts[0].mean_probability == pytest.approx(0.9)
