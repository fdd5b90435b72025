"""The small pictures of a slice show what the slice view shows, the same way round."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.components import Component, Term
from FactorizerSegmentationLib.scene.explanations import Step, addStep, createExplanation
from FactorizerSegmentationLib.scene.heatmaps import compactInto, measured
from FactorizerSegmentationLib.scene.overlays import Look
from FactorizerSegmentationLib.scene.thumbnails import EDGE, SlicePlane, thumbnail
from FactorizerSegmentationLib.scene.volumes import Place, emptyImage, voxelsOf, worldAffine
from module.geometry import orientation_affines, tilted

SHAPE = (10, 10, 6)
AFFINES = orientation_affines()


@pytest.fixture
def axial(scene):
    """Gives the node of an axial slice through a place, as the red view has it."""
    node = slicer.vtkMRMLSliceNode()
    node.SetLayoutName("Thumbnails")
    node = scene.AddNode(node)

    def through(place):
        matrix = np.diag([-1.0, 1.0, 1.0, 1.0])  # as the preset "Axial"
        matrix[:3, 3] = place[:3]
        node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
        node.UpdateMatrices()
        return node

    yield through
    scene.RemoveNode(node)


def mapOn(scene, scan, box) -> Step:
    values = np.zeros(SHAPE, np.float32)
    values[box] = 3.0
    component = Component(Term(0, "decoder.3.0", 0, 0), "A", {}, (0.0, 4.0))
    place = Place.of(scan, SHAPE, worldAffine(scan))
    heatmap = measured(component, values, voxelsOf(scan))
    image = emptyImage(values.shape)
    list(compactInto(image, values, voxelsOf(scan), heatmap.window))
    return addStep(createExplanation(scene, "components", place), heatmap, image, place.affine)


def colored(picture) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=2) > 12


@pytest.mark.parametrize("orientation", sorted(AFFINES))
def test_the_patients_right_is_at_the_left_and_anterior_at_the_top(
    scene, add_volume, axial, orientation
):
    scan = add_volume("scan", SHAPE, AFFINES[orientation])
    voxelsOf(scan)[...] = 1
    inverse = np.linalg.inv(worldAffine(scan))
    middle = worldAffine(scan) @ [*(np.array(SHAPE) - 1) / 2, 1]
    corner = middle[:3] + [10.0, 10.0, 0.0]  # right and anterior
    index = np.rint(inverse[:3, :3] @ corner + inverse[:3, 3]).astype(int)
    box = tuple(slice(max(i - 2, 0), i + 2) for i in np.clip(index, 0, np.array(SHAPE) - 1))
    node = mapOn(scene, scan, box)

    plane = SlicePlane.of(axial(middle), node)
    rows, columns = np.nonzero(colored(thumbnail(plane, scan, node, Look())))

    assert rows.size and rows.mean() < EDGE / 2 and columns.mean() < EDGE / 2


def test_a_slice_beside_the_component_has_only_the_scan(scene, add_volume, axial):
    scan = add_volume("scan", SHAPE)
    node = mapOn(scene, scan, (slice(2, 5), slice(2, 5), slice(1, 2)))
    picture = thumbnail(SlicePlane.of(axial((4.5, 4.5, 4.0)), node), scan, node, Look())

    assert not colored(picture).any() and picture.max() > 0


def test_it_follows_the_volumes_transform(scene, add_volume, add_transform, axial):
    scan = add_volume("scan", SHAPE, parent=add_transform(tilted()))
    node = mapOn(scene, scan, (slice(3, 7), slice(3, 7), slice(2, 4)))
    middle = worldAffine(scan) @ [4.5, 4.5, 2.5, 1]
    picture = colored(thumbnail(SlicePlane.of(axial(middle), node), scan, node, Look()))
    rows, columns = np.nonzero(picture)

    assert abs(rows.mean() - EDGE / 2) < 6 and abs(columns.mean() - EDGE / 2) < 6


def test_without_a_scan_there_is_the_heatmap_alone(scene, add_volume, axial):
    scan = add_volume("scan", SHAPE)
    node = mapOn(scene, scan, (slice(2, 5),) * 3)
    plane = SlicePlane.of(axial((3, 3, 3)), node)

    assert thumbnail(plane, None, node, Look()).any()
