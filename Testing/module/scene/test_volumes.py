from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.volumes import (
    Place,
    createVolume,
    localAffine,
    saveScan,
    voxelsOf,
    worldAffine,
)
from module.geometry import apply, orientation_affines, tilted


def world_position(node, index) -> np.ndarray:
    """Where Slicer itself sees a voxel, all parent transforms applied."""
    local = [0.0, 0.0, 0.0, 1.0]
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    matrix.MultiplyPoint([*index, 1.0], local)
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(local[:3], world)
    return np.array(world)


def test_voxels_are_indexed_by_column_row_and_slice(add_volume):
    node = add_volume(shape=(3, 4, 5))

    voxels = voxelsOf(node)

    assert voxels.shape == node.GetImageData().GetDimensions() == (3, 4, 5)
    assert voxels[2, 1, 4] == node.GetImageData().GetScalarComponentAsDouble(2, 1, 4, 0)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ILP", "SRA", "PIR"])
def test_a_scan_lies_where_slicer_shows_the_volume(
    add_volume, add_transform, tmp_path, orientation
):
    stretched = np.diag([1.1, 0.9, 1.0, 1.0])
    parent = add_transform(stretched, parent=add_transform(tilted()))
    node = add_volume("T2", affine=orientation_affines()[orientation], parent=parent)

    scan = saveScan(node, tmp_path / "scan.npy")

    assert np.array_equal(scan.load(), voxelsOf(node))
    assert scan.name == "T2"
    for index in [(0, 0, 0), (4, 5, 6), (1, 3, 2)]:
        assert apply(scan.matrix, index) == pytest.approx(world_position(node, index))


def test_without_a_parent_transform_the_affine_is_the_nodes_own(add_volume):
    affine = orientation_affines()["LPS"]

    assert worldAffine(add_volume(affine=affine)) == pytest.approx(affine)


def test_a_warped_volume_is_refused_with_the_names_of_volume_and_transform(scene, add_volume):
    warp = vtk.vtkThinPlateSplineTransform()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in [(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)]:
        points.InsertNextPoint(corner)
        moved.InsertNextPoint(corner[0] ** 1.2, corner[1], corner[2])
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(moved)
    warp.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    transform.SetAndObserveTransformToParent(warp)
    node = add_volume("Bent", parent=transform)

    with pytest.raises(SceneError, match="'Bent'.*'Warp'"):
        worldAffine(node)


def test_a_volume_without_an_image_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")

    with pytest.raises(SceneError, match="'Hollow' holds no image"):
        voxelsOf(node)


def test_a_colour_image_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)

    with pytest.raises(SceneError, match="'Photo' has several values per voxel"):
        voxelsOf(node)


def test_a_full_disk_is_reported_in_one_sentence(add_volume, tmp_path):
    with pytest.raises(SceneError, match="'FLAIR' could not be handed to the engine"):
        saveScan(add_volume("FLAIR"), tmp_path / "missing" / "scan.npy")


def test_a_result_shares_the_transform_of_its_reference(scene, add_volume, add_transform):
    parent = add_transform(tilted())
    reference = add_volume(affine=orientation_affines()["PIR"], parent=parent)
    place = Place.of(reference, (5, 6, 7), worldAffine(reference))

    result = createVolume(scene, np.ones((5, 6, 7), np.float32), place, "Result")

    assert result.GetParentTransformNode() is parent
    assert localAffine(result) == pytest.approx(localAffine(reference))
    parent.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
    assert worldAffine(result) == pytest.approx(worldAffine(reference))


def test_a_result_stays_where_its_deleted_reference_was(scene, add_volume, add_transform):
    reference = add_volume(affine=orientation_affines()["LAS"], parent=add_transform(tilted()))
    world = worldAffine(reference)
    scene.RemoveNode(reference)

    result = createVolume(
        scene, np.ones((5, 6, 7), np.float32), Place.of(None, (), world), "Result"
    )

    assert result.GetParentTransformNode() is None
    assert worldAffine(result) == pytest.approx(world)


def test_a_result_of_another_shape_is_put_by_its_own_affine(add_volume, add_transform):
    reference = add_volume(parent=add_transform(tilted()))
    world = worldAffine(reference)

    place = Place.of(reference, (9, 9, 9), world)

    assert place.volumeNode is None
    assert place.transformId is None
    assert place.affine == pytest.approx(world)


def test_names_stay_unique(scene, add_volume):
    place = Place(np.eye(4))
    first = createVolume(scene, np.zeros((2, 2, 2), np.float32), place, "Component 1")
    second = createVolume(scene, np.zeros((2, 2, 2), np.float32), place, "Component 1")

    assert first.GetName() != second.GetName()
    assert isinstance(first, slicer.vtkMRMLScalarVolumeNode)
