"""Results in the 3D views."""

from __future__ import annotations

import pytest
import slicer
import vtk

from module.panels.user import current_widget, run

ENHANCING, CORE = "Label_4", "Label_1"
"""The segments of the fake engine's two lesions; the first is the larger one."""


@pytest.fixture
def review(host, widget, panel, volumes, fake_python):
    """The panel after a run."""
    run(host, panel, fake_python("answer"))
    return widget.reviewPanel


def result():
    return current_widget().logic.getParameterNode().segment.segmentation


def points(segment: str) -> int:
    surface = vtk.vtkPolyData()
    result().GetClosedSurfaceRepresentation(segment, surface)
    return surface.GetNumberOfPoints()


def missing() -> list[str]:
    """The segments without a surface."""
    return [name for name in (ENHANCING, CORE) if points(name) == 0]


def in_3d(node) -> bool:
    return bool(node.GetDisplayNode().GetVisibility3D())


def camera():
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    return view.renderWindow().GetRenderers().GetFirstRenderer().GetActiveCamera()


def test_a_result_is_shown_in_3d_in_the_middle_of_the_view(host, review):
    assert review.ui.show3DCheckBox.checked and in_3d(result())
    assert host.wait_until(lambda: not missing(), 5)
    bounds = [0.0] * 6
    result().GetRASBounds(bounds)
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]

    def looking() -> bool:
        return camera().GetFocalPoint() == pytest.approx(middle, abs=5)

    assert host.wait_until(looking, 5)


def test_the_window_has_its_turn_after_each_segment(host, review):
    assert host.wait_until(lambda: not missing(), 5)
    review.ui.show3DCheckBox.click()
    for name in (CORE, ENHANCING):  # once the first has none, the others can be without
        result().GetSegmentation().GetSegment(name).RemoveRepresentation("Closed surface")

    review.ui.show3DCheckBox.click()
    counts = [len(missing())]
    while missing():
        slicer.app.processEvents()
        counts.append(len(missing()))

    assert sorted(set(counts), reverse=True) == [2, 1, 0]


def test_what_the_user_wanted_last_holds_for_the_next_result(host, panel, review, fake_python):
    first = result()
    run(host, panel, fake_python("answer"))
    assert in_3d(result()) and not in_3d(first)

    review.ui.show3DCheckBox.click()
    assert not in_3d(result())
    run(host, panel, fake_python("answer"))
    assert not in_3d(result()) and not review.ui.show3DCheckBox.checked
    host.process_events(0.1)
    assert missing() == [ENHANCING, CORE]

    review.ui.show3DCheckBox.click()
    run(host, panel, fake_python("answer"))
    assert in_3d(result())


def test_surfaces_follow_a_verdict_and_its_undo(host, review):
    assert host.wait_until(lambda: not missing(), 5)
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))

    review.ui.rejectButton.click()
    assert host.wait_until(lambda: missing() == [ENHANCING], 5)
    review.ui.undoButton.click()
    assert host.wait_until(lambda: not missing(), 5)


def test_a_scene_that_is_opened_keeps_its_own_view(host, scene, review, tmp_path):
    assert host.wait_until(lambda: not missing(), 5)
    host.process_events(0.1)
    camera().SetPosition(0, 700, 0)
    camera().SetFocalPoint(10, 20, 30)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    scene.Clear(False)
    slicer.util.loadScene(path)
    host.process_events(0.3)

    assert in_3d(result()) and current_widget().reviewPanel.ui.show3DCheckBox.checked
    assert host.wait_until(lambda: not missing(), 5)
    host.process_events(0.1)
    assert camera().GetFocalPoint() == pytest.approx((10, 20, 30))


@pytest.mark.parametrize("ends", ["scene", "node", "reload"])
def test_nothing_happens_when_the_result_goes_while_surfaces_are_made(
    host, scene, widget, panel, volumes, fake_python, reloading, ends
):
    run(host, panel, fake_python("answer"))

    if ends == "scene":
        scene.Clear(False)
    elif ends == "node":
        scene.RemoveNode(result())
    else:
        widget.onReload()
    host.process_events(0.1)

    if ends == "node":
        assert result() is None and not current_widget().reviewPanel.ui.show3DCheckBox.enabled
