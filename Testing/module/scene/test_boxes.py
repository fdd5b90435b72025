from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from FactorizerSegmentationLib.scene.boxes import createBox, worldBoxOf
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import worldAffine
from module.geometry import apply, tilted


def test_a_box_below_a_transform_is_where_it_is_seen(scene, add_transform):
    node = createBox(scene, (1, 2, 3), (4, 6, 8))
    node.SetAndObserveTransformNodeID(add_transform(tilted()).GetID())

    box = worldBoxOf(node)

    assert box.center == pytest.approx(apply(tilted(), (1, 2, 3)))
    for edge, half, column in zip(box.edges, (2, 3, 4), tilted()[:3, :3].T, strict=True):
        assert edge == pytest.approx(half * column)


def test_a_turned_box_is_known_by_its_faces(scene, add_volume):
    node = createBox(scene, (0, 0, 0), (4, 6, 8))
    turned = tilted()
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(turned))
    volume = add_volume("Volume", (30, 30, 30), np.diag([1, 1, 1, 1]) - 0)
    affine = worldAffine(volume)

    box = worldBoxOf(node)

    planes = vtk.vtkPlanes()
    node.GetTransformedPlanes(planes)
    part = box.part_of((30, 30, 30), affine)
    mask = box.mask(part, affine)
    for index in np.ndindex(mask.shape):
        point = apply(affine, np.array(index) + [axis.start for axis in part])
        assert (planes.EvaluateFunction(point) <= 1e-4) == mask[index]


def test_a_box_that_has_no_place_yet_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Empty")

    with pytest.raises(SceneError, match="'Empty' has no place yet"):
        worldBoxOf(node)


def test_a_flat_box_is_refused(scene):
    with pytest.raises(SceneError, match="has no volume"):
        worldBoxOf(createBox(scene, (0, 0, 0), (0, 5, 5)))
