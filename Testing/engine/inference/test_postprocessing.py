"""Painting regions over each other, and cleaning them first."""

from __future__ import annotations

import numpy as np

from engine.tiny import REGIONS
from factorizer_engine.bundles.settings import PostprocessingSettings
from factorizer_engine.inference.postprocessing import paint_regions
from factorizer_engine.protocol.models import Region

SHAPE = (12, 12, 12)
ET, TC, WT = 0, 1, 2


def boxes(**regions) -> np.ndarray:
    """Probabilities of 0.9 in the boxes of each region, 0.1 elsewhere."""
    volume = np.full((3, *SHAPE), 0.1, dtype=np.float32)
    for name, places in regions.items():
        for place in places:
            volume[{"ET": ET, "TC": TC, "WT": WT}[name]][place] = 0.9
    return volume


def cube(start, stop):
    return (slice(start, stop),) * 3


def paint(volume, settings=None, threshold=0.5, voxel_ml=0.001):
    settings = settings or PostprocessingSettings()
    return paint_regions(volume, REGIONS, threshold, settings, voxel_ml)


def test_an_inner_region_covers_the_one_around_it():
    painted = paint(boxes(WT=[cube(1, 11)], TC=[cube(3, 9)], ET=[cube(5, 7)]))
    assert painted.dtype == np.uint8
    assert (painted[cube(5, 7)] == 4).all()
    assert np.count_nonzero(painted == 1) == 6**3 - 2**3
    assert np.count_nonzero(painted == 2) == 10**3 - 6**3


def test_a_probability_at_the_threshold_counts():
    volume = boxes()
    volume[WT, 0, 0, 0] = 0.75
    assert paint(volume, threshold=0.75)[0, 0, 0] == 2
    assert not paint(volume, threshold=0.76).any()


def test_of_regions_that_exclude_each_other_the_likeliest_holds_where_any_does():
    head, tail = Region("head", 1, "Head"), Region("tail", 2, "Tail")
    values = [(0.1, 0.2), (0.9, 0.6), (0.6, 0.9), (0.3, 0.25), (0.2, 0.3), (0.7, 0.0)]
    probabilities = np.array(values, dtype=np.float32).T.reshape(2, 6, 1, 1)
    painted = paint_regions(probabilities, (head, tail), 0.5, PostprocessingSettings(), 0.001)
    assert painted.ravel().tolist() == [0, 1, 2, 1, 2, 1]


def test_regions_that_exclude_each_other_cover_the_one_around_them():
    regions = (Region("left", 2, "Left", 1), Region("all", 1, "All", 0), Region("right", 3, "R", 1))
    probabilities = np.array([(0.0, 0.8, 0.1), (0.9, 0.9, 0.9), (0.1, 0.1, 0.5)], np.float32)
    probabilities = probabilities.reshape(3, 3, 1, 1)
    painted = paint_regions(probabilities, regions, 0.5, PostprocessingSettings(), 0.001)
    assert painted.ravel().tolist() == [1, 2, 3]


def test_small_pieces_of_a_region_are_dropped_and_larger_ones_kept():
    volume = boxes(WT=[cube(0, 2), cube(6, 9)], TC=[cube(0, 2)])
    painted = paint(volume, PostprocessingSettings(min_volume_ml={"WT": 0.009}))
    assert (painted[cube(6, 9)] == 2).all()
    assert (painted[cube(0, 2)] == 1).all()
    assert not (paint(volume, PostprocessingSettings({"WT": 0.009, "TC": 0.009}))[cube(0, 2)]).any()


def test_a_piece_of_exactly_the_smallest_volume_is_kept():
    volume = boxes(WT=[cube(0, 2)])
    assert paint(volume, PostprocessingSettings({"WT": 0.008})).any()


def test_pieces_that_touch_at_a_corner_are_one():
    volume = boxes(WT=[cube(0, 2), cube(2, 4)])
    painted = paint(volume, PostprocessingSettings({"WT": 0.016}))
    assert np.count_nonzero(painted) == 16


def test_a_little_enhancement_becomes_core():
    volume = boxes(WT=[cube(1, 11)], TC=[cube(3, 9)], ET=[cube(5, 7)])
    settings = PostprocessingSettings(replace_small={"ET": 0.009})
    assert (paint(volume, settings)[cube(3, 9)] == 1).all()
    assert (paint(volume, settings, voxel_ml=0.002)[cube(5, 7)] == 4).all()


def test_slivers_join_what_they_touch_most_and_small_lesions_stay():
    volume = boxes(WT=[cube(1, 9), cube(10, 12)], TC=[cube(2, 7)], ET=[cube(2, 6)])
    volume[TC, 6:8] = volume[TC, :, 6:8] = volume[TC, :, :, 6:8] = 0.1
    sliver = (slice(6, 7), slice(2, 4), slice(2, 4))
    volume[TC][sliver] = 0.9
    assert (paint(volume)[sliver] == 1).all()
    joined = paint(volume, PostprocessingSettings(min_fragment_ml=0.009))
    assert (joined[sliver] == 2).all(), "more oedema than enhancing tumour is around it"
    assert (joined[cube(2, 6)] == 4).all(), "what is large enough stays"
    assert (joined[cube(10, 12)] == 2).all(), "8 voxels that touch nothing are a lesion"
    kept = paint(volume, PostprocessingSettings(min_fragment_ml=0.004))
    assert (kept[sliver] == 1).all(), "4 voxels are not fewer than 4"
