"""Label maps from probability maps, made only where something can hold."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import slicer
import vtk

from factorizer_engine.protocol.models import Region
from FactorizerSegmentationLib.scene.pieces import piecesOf
from FactorizerSegmentationLib.scene.probabilities import ProbabilityMaps, Thresholds
from FactorizerSegmentationLib.scene.volumes import voxelMl

NESTED = (Region("ET", 4, "", 2), Region("TC", 1, "", 1), Region("WT", 2, "", 0))
EXCLUSIVE = (Region("A", 1, "", 0), Region("B", 2, "", 0), Region("C", 3, "", 1))
SHAPE = (20, 22, 18)


@pytest.fixture
def maps(scene, add_volume):
    """Makes maps of blobs, and something faint in a corner: `maps(regions)`."""

    def make(regions):
        random = np.random.default_rng(3)
        nodes = []
        for region in regions:
            levels = np.zeros(SHAPE, np.uint8)
            for corner in random.integers(2, 14, (3, 3)):
                blob = random.integers(0, 200, (4, 4, 4))
                levels[tuple(slice(start, start + 4) for start in corner)] = blob
            levels[-1, -1, -1] = 40
            node = add_volume(region.name, SHAPE)
            slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(levels.transpose(2, 1, 0)))
            nodes.append(node)
        return ProbabilityMaps(nodes, regions)

    return make


@pytest.mark.parametrize("regions", [NESTED, EXCLUSIVE], ids=["nested", "exclusive"])
@pytest.mark.parametrize("values", [(0.5, 0.5, 0.5), (0.7, 0.06, 0.3), (0.95, 0.95, 0.95)])
@pytest.mark.parametrize("smallest", [0.0, 0.004])
def test_nothing_holds_outside_the_part_that_is_said_to_hold_all(maps, regions, values, smallest):
    thresholds = Thresholds(regions, values, smallest)
    made = maps(regions)
    part = made.boxOf(thresholds)
    whole = made.labelmap(thresholds, 0.001)

    np.testing.assert_array_equal(made.labelmap(thresholds, 0.001, part), whole[part])
    whole[part] = 0
    assert not whole.any()


def test_the_part_for_several_thresholds_holds_those_of_each(maps):
    low, high = (Thresholds(NESTED, (value,) * 3) for value in (0.1, 0.7))
    made = maps(NESTED)

    assert made.boxOf(low, high) == made.boxOf(high, low) == made.boxOf(low)
    assert made.boxOf(high) != made.boxOf(low)


@pytest.mark.parametrize("installed", [True, False], ids=["with the engine", "Slicer alone"])
def test_pieces_meet_at_corners(monkeypatch, installed):
    if not installed:
        monkeypatch.setitem(sys.modules, "cc3d", None)
    mask = np.zeros((4, 4, 6), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 5] = True

    pieces = piecesOf(mask)

    assert pieces[0, 0, 0] == pieces[1, 1, 1] != pieces[3, 3, 5]
    assert set(np.unique(pieces).tolist()) == {0, 1, 2}
    assert not piecesOf(np.zeros((2, 2, 2), bool)).any()


@pytest.mark.parametrize("degrees", range(1, 20))
def test_a_lesion_of_just_the_smallest_volume_is_kept_however_the_head_lies(
    scene, add_volume, degrees
):
    levels = np.zeros((100, 3, 3), np.uint8)
    levels[:50, 1, 1] = 200
    node = add_volume("A", levels.shape)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(levels.transpose(2, 1, 0)))
    turned = vtk.vtkTransform()
    turned.RotateWXYZ(degrees, 1.0, 2.0, 3.0)
    node.SetIJKToRASMatrix(turned.GetMatrix())
    region = (Region("A", 1, "", 0),)
    made = ProbabilityMaps([node], region)

    kept = made.labelmap(Thresholds(region, (0.5,), 0.05), voxelMl(node))
    assert np.count_nonzero(kept) == 50
    assert not made.labelmap(Thresholds(region, (0.5,), 0.051), voxelMl(node)).any()
