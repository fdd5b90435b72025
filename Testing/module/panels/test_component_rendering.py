"""A component in the 3D views: what is rendered, and how one sees it among the segments."""

from __future__ import annotations

import numpy as np
import slicer

from module.geometry import apply
from module.panels.test_component_browser import browser  # noqa: F401
from module.panels.test_components_panel import heatmap


def renderings() -> list:
    return slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")


def test_a_component_can_be_seen_in_3d_and_leaves_nothing_behind(host, scene, browser):  # noqa: F811
    before = scene.GetNumberOfNodes()
    browser.ui.in3DCheckBox.click()
    host.process_events()
    (display,) = renderings()
    assert display.GetVolumeNode().GetName() == "Component 1 (evidence) in 3D"
    assert display.GetVisibility() and not display.GetSaveWithScene()

    table = browser.ui.componentsTable
    table.setCurrentItem(table.item(1, 0))
    host.process_events()
    assert [it.GetVolumeNode().GetName() for it in renderings()] == ["Component 2 (evidence) in 3D"]

    browser.ui.hideHeatmapButton.click()
    host.process_events()
    assert not renderings()
    assert scene.GetNumberOfNodes() < before  # nor the volumes through which it is seen


def test_only_what_is_drawn_of_a_component_is_rendered_in_its_place(host, browser):  # noqa: F811
    browser.ui.in3DCheckBox.click()
    host.process_events()
    (display,) = renderings()
    volume, whole = display.GetVolumeNode(), heatmap(1)
    assert volume.GetHideFromEditors() and not volume.GetSaveWithScene()
    drawn = slicer.util.arrayFromVolume(whole) >= whole.GetDisplayNode().GetLowerThreshold()
    rendered = slicer.util.arrayFromVolume(volume)
    assert rendered.size < drawn.size
    level = whole.GetDisplayNode().GetLowerThreshold()
    assert (rendered >= level).sum() == drawn.sum() > 0
    strongest = [
        apply(slicer.util.arrayFromVTKMatrix(matrix), np.argwhere(array == array.max())[0][::-1])
        for node, array in ((volume, rendered), (whole, slicer.util.arrayFromVolume(whole)))
        for matrix in (place_of(node),)
    ]
    np.testing.assert_allclose(*strongest)

    browser.ui.shownPartSlider.value = 1
    (same,) = renderings()
    assert same.GetVolumeNode() is volume
    assert slicer.util.arrayFromVolume(volume).size <= rendered.size


def place_of(node):
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_one_sees_through_the_surfaces_of_segments_while_a_component_is_seen_in_3d(
    host,
    widget,
    browser,  # noqa: F811
):
    display = widget.logic.getParameterNode().segment.segmentation.GetDisplayNode()
    display.SetOpacity3D(0.8)
    browser.ui.in3DCheckBox.click()
    assert display.GetOpacity3D() == 0.25
    browser.ui.in3DCheckBox.click()
    assert display.GetOpacity3D() == 0.8

    browser.ui.in3DCheckBox.click()
    display.SetOpacity3D(0.5)  # as the user likes it
    browser.ui.hideHeatmapButton.click()
    assert display.GetOpacity3D() == 0.5


def test_without_volume_rendering_there_is_no_3d(host, browser, monkeypatch):  # noqa: F811
    from FactorizerSegmentationLib.scene.rendering import HeatmapRendering

    monkeypatch.delattr(slicer.modules, "volumerendering")
    HeatmapRendering().show(heatmap(1))
    browser.ui.in3DCheckBox.click()
    host.process_events()

    assert not slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    browser.ui.in3DCheckBox.click()


def test_a_scene_that_was_saved_meanwhile_has_its_surfaces_as_they_were(
    host,
    browser,  # noqa: F811
    tmp_path,
):
    browser.ui.in3DCheckBox.click()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.process_events(0.3)

    assert not renderings() and not browser.ui.in3DCheckBox.checked
    (display,) = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    assert display.GetOpacity3D() == 1
