"""Slice views are moved for the user and given back."""

from __future__ import annotations

import pytest
import slicer

from FactorizerSegmentationLib.scene.slice_positions import SlicePositions


@pytest.fixture
def views(add_view):
    """An axial and a coronal view, which no application has."""
    nodes = []
    for name, normal in (("Axial for a test", (0, 0, 1)), ("Coronal for a test", (0, 1, 0))):
        node = add_view(slicer.vtkMRMLSliceNode(), name)
        node.SetSliceToRASByNTP(*normal, -1, 0, 0, 0, 0, 0, 0)
        nodes.append(node)
    return nodes


def place(node) -> list[float]:
    """Where the middle of the view lies, RAS in mm."""
    return [pytest.approx(node.GetSliceToRAS().GetElement(row, 3), abs=1e-6) for row in range(3)]


def test_all_views_go_through_the_point(scene, views):
    positions = SlicePositions()
    positions.jump(scene, (10.0, -20.0, 30.0))
    assert place(views[0]) == place(views[1]) == [10.0, -20.0, 30.0]

    positions.jump(scene, (15.0, -25.0, 35.0), centered=False)
    assert place(views[0]) == [10.0, -20.0, 35.0]
    assert place(views[1]) == [10.0, -25.0, 30.0]


def test_views_go_back_to_where_they_were_before_the_first_move(scene, views):
    positions = SlicePositions()
    views[0].SetSliceOffset(7.0)
    before = [place(node) for node in views]
    views[0].SetFieldOfView(100.0, 80.0, 1.0)
    positions.jump(scene, (10.0, -20.0, 30.0))
    with positions.moving(scene):
        views[0].SetFieldOfView(250.0, 200.0, 1.0)
    positions.jump(scene, (1.0, 2.0, 3.0))

    positions.restore(scene)

    assert [place(node) for node in views] == before
    assert views[0].GetFieldOfView() == (100.0, 80.0, 1.0)


def test_a_view_that_the_user_has_moved_since_stays(scene, views):
    positions = SlicePositions()
    before = place(views[1])
    positions.jump(scene, (10.0, -20.0, 30.0))
    views[0].SetSliceOffset(44.0)

    positions.restore(scene)

    assert place(views[0])[2] == 44.0
    assert place(views[1]) == before


def test_what_the_user_chose_between_two_moves_comes_back(scene, views):
    positions = SlicePositions()
    positions.jump(scene, (10.0, -20.0, 30.0))
    views[0].SetSliceOffset(44.0)
    positions.jump(scene, (1.0, 2.0, 3.0))

    positions.restore(scene)

    assert place(views[0])[2] == 44.0


def test_views_that_were_never_moved_or_are_gone_do_no_harm(scene, views):
    positions = SlicePositions()
    positions.restore(scene)
    positions.jump(scene, (10.0, -20.0, 30.0))
    scene.RemoveNode(views[0])
    positions.restore(scene)
    positions.restore(scene)


def test_a_view_that_is_made_meanwhile_stays_as_it_is(scene, views, add_view):
    positions = SlicePositions()
    with positions.moving(scene):
        later = add_view(slicer.vtkMRMLSliceNode(), "Later for a test")
        later.SetSliceOffset(5.0)

    positions.restore(scene)

    assert place(later)[2] == 5.0
