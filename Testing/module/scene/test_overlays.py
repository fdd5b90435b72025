from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.components import Component, Term
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene.color_maps import (
    activityMaps,
    colorNodeOf,
    evidenceMaps,
    pairMap,
)
from FactorizerSegmentationLib.scene.heatmaps import (
    createHeatmap,
    heatmapOf,
    isHeatmap,
    isLeading,
    mapOf,
)
from FactorizerSegmentationLib.scene.overlays import HeatmapOverlay, Look
from FactorizerSegmentationLib.scene.volumes import Place, voxelsOf, worldAffine
from module.geometry import orientation_affines, tilted

SHAPE = (5, 6, 7)
WINDOW = (0.0, 4.0)


@pytest.fixture
def reference(add_volume, add_transform):
    return add_volume(affine=orientation_affines()["LPS"], parent=add_transform(tilted()))


@pytest.fixture
def heatmaps(scene, reference, tmp_path):
    components = []
    for number, peak in enumerate((9.0, 0.5), start=1):
        voxels = np.linspace(0, peak, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
        scan = ScanFile.save(voxels, worldAffine(reference), tmp_path / f"{number}.npy")
        contributions = {"ET": 1.5 / number, "WT": 0.25}
        components.append((info(f"Component {number}", contributions), scan))
    place = Place.of(reference, SHAPE, worldAffine(reference))
    return [createHeatmap(scene, component, scan, place) for component, scan in components]


def info(name="Component 1", contributions=()) -> Component:
    return Component(Term(0, "decoder.3.0", 0, 0), name, dict(contributions), WINDOW)


def drawnPart(node) -> float:
    """Part of the volume that a heatmap colours."""
    return float((voxelsOf(node) >= node.GetDisplayNode().GetLowerThreshold()).mean())


@pytest.fixture
def views(add_view):
    """The layers of three slice views."""
    return [
        add_view(slicer.vtkMRMLSliceCompositeNode(), name) for name in ("Red", "Yellow", "Green")
    ]


def lightness(red, green, blue) -> float:
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_all_heatmaps_share_one_window_whatever_their_own_range(heatmaps):
    displays = [node.GetDisplayNode() for node in heatmaps]

    assert [(d.GetWindowLevelMin(), d.GetWindowLevelMax()) for d in displays] == [WINDOW, WINDOW]
    assert not any(display.GetAutoWindowLevel() for display in displays)
    assert len({display.GetColorNodeID() for display in displays}) == 1


def test_heatmaps_lie_on_their_scan(heatmaps, reference):
    for node in heatmaps:
        assert worldAffine(node) == pytest.approx(worldAffine(reference))
        assert node.GetImageData().GetDimensions() == SHAPE


def lightnesses(scene, colorMap) -> np.ndarray:
    function = colorNodeOf(scene, colorMap).GetColorTransferFunction()
    return np.array([lightness(*function.GetColor(x)) for x in np.linspace(0, 1, 20)])


@pytest.mark.parametrize("number", range(3))
def test_a_colour_map_of_activity_grows_lighter_with_the_value(scene, number):
    assert (np.diff(lightnesses(scene, activityMaps()[number])) > 0).all()


@pytest.mark.parametrize("number", range(2))
def test_a_colour_map_of_evidence_is_darker_the_stronger_for_both_signs(scene, number):
    found = lightnesses(scene, evidenceMaps()[number])

    assert (np.diff(found[:10]) > 0).all() and (np.diff(found[10:]) < 0).all()


@pytest.mark.parametrize("second", [False, True])
def test_shades_are_lighter_the_stronger_whatever_the_sign(scene, second):
    assert (np.diff(lightnesses(scene, pairMap(second, falling=False))) > 0).all()
    assert (np.diff(lightnesses(scene, pairMap(second, falling=True))) < 0).all()


def test_a_colour_node_is_made_only_once_and_that_of_the_application_is_taken(scene):
    first, second = activityMaps()[:2]
    known = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", second.known[0])

    assert colorNodeOf(scene, first) is colorNodeOf(scene, first)
    assert colorNodeOf(scene, second) is known


def test_contributions_are_kept_with_the_node(heatmaps):
    assert isHeatmap(heatmaps[0])
    shown = heatmapOf(heatmaps[0]).component
    assert shown.to_dict() == info("Component 1", {"ET": 1.5, "WT": 0.25}).to_dict()


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", '{"component": {}}', '{"component": {"name": "ab"}, "percentiles": [1]}'],
)
def test_a_heatmap_without_its_description_is_no_heatmap(add_volume, text):
    node = add_volume()
    node.SetAttribute("FactorizerSegmentation.Role", "Heatmap")
    node.SetAttribute("FactorizerSegmentation.Component", text)

    assert not isHeatmap(node)


def test_weak_activation_is_not_drawn_and_strong_is_never_cut_off(scene, heatmaps, views):
    overlay = HeatmapOverlay()
    overlay.show(heatmaps[0], Look(0.5, 0.25))
    display = heatmaps[0].GetDisplayNode()

    assert display.GetApplyThreshold()
    assert drawnPart(heatmaps[0]) == pytest.approx(0.25, abs=0.02)
    assert display.GetUpperThreshold() >= 9.0

    overlay.setShownPart(scene, 0.5)

    assert drawnPart(heatmaps[0]) == pytest.approx(0.5, abs=0.02)


def test_activation_outside_the_head_does_not_decide_what_is_drawn(scene, add_volume, tmp_path):
    reference = add_volume()
    head = np.zeros(SHAPE, bool)
    head[: SHAPE[0] // 2] = True
    voxelsOf(reference)[...] = np.where(head, 100, 0)
    activation = np.where(head, np.arange(head.size).reshape(SHAPE), 1e6).astype(np.float32)
    scan = ScanFile.save(activation, np.eye(4), tmp_path / "map.npy")

    node = createHeatmap(scene, info(), scan, Place.of(reference, SHAPE, np.eye(4)))

    drawn = voxelsOf(node) >= node.GetDisplayNode().GetLowerThreshold()
    assert drawn[head].mean() == pytest.approx(0.05, abs=0.02)
    assert not voxelsOf(node)[~head].any()


def test_values_are_few_and_differ_less_than_colours_can_show(scene, reference, tmp_path):
    activation = np.random.default_rng(0).uniform(0, 6, SHAPE).astype(np.float32)
    scan = ScanFile.save(activation, np.eye(4), tmp_path / "map.npy")
    voxelsOf(reference)[...] = 1

    node = createHeatmap(scene, info(), scan, Place.of(reference, SHAPE, np.eye(4)))

    step = WINDOW[1] / 255
    assert np.abs(voxelsOf(node) - activation).max() <= step / 2 * 1.001
    assert np.unique(voxelsOf(node)).size < activation.size
    assert voxelsOf(node) / step == pytest.approx(np.rint(voxelsOf(node) / step), abs=1e-3)


@pytest.mark.parametrize("window", [(0.0, 0.0), WINDOW])
def test_a_silent_component_and_a_scan_that_is_gone_give_a_heatmap(scene, tmp_path, window):
    scan = ScanFile.save(np.zeros(SHAPE, np.float32), np.eye(4), tmp_path / "map.npy")
    component = Component(Term(0, "decoder.3.0", 0, 0), "Silent", {}, window)

    node = createHeatmap(scene, component, scan, Place.of(None, SHAPE, np.eye(4)))

    assert isHeatmap(node)
    assert not voxelsOf(node).any()


def test_evidence_is_drawn_on_the_side_for_which_the_component_speaks(scene, reference, tmp_path):
    values = np.linspace(-1, 1, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    file = ScanFile.save(values, worldAffine(reference), tmp_path / "evidence.npy")
    place = Place.of(reference, SHAPE, worldAffine(reference))
    for contribution in (2.0, -2.0):
        own = replace(info("A", {"ET": contribution}), region="ET", evidence_window=(-1.0, 1.0))
        node = createHeatmap(scene, own, file, place, "evidence")
        activity = createHeatmap(scene, own, file, place, evidence=node)
        display = node.GetDisplayNode()
        drawn = voxelsOf(node)[
            (voxelsOf(node) >= display.GetLowerThreshold())
            & (voxelsOf(node) <= display.GetUpperThreshold())
        ]
        assert (np.sign(drawn) == np.sign(contribution)).all()
        assert drawn.size == pytest.approx(0.05 * values.size, abs=2)
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-1.0, 1.0)
        assert mapOf(scene, node, "evidence") is node
        assert mapOf(scene, node, "activity") is activity
        assert heatmapOf(activity).kind == "activity"
        assert isLeading(node) and not isLeading(activity)
        scene.RemoveNode(node)
        assert isLeading(activity)


def test_the_heatmap_is_the_foreground_of_every_view(scene, heatmaps, views):
    overlay = HeatmapOverlay()
    overlay.show(heatmaps[0], Look(0.5, 0.2))

    assert {view.GetForegroundVolumeID() for view in views} == {heatmaps[0].GetID()}
    assert {view.GetForegroundOpacity() for view in views} == {0.5}

    overlay.setOpacity(scene, 0.8)

    assert {view.GetForegroundOpacity() for view in views} == {0.8}


def test_hiding_puts_back_what_each_view_showed(scene, add_volume, heatmaps, views):
    other = add_volume("PET")
    views[0].SetForegroundVolumeID(other.GetID())
    views[0].SetForegroundOpacity(0.3)
    overlay = HeatmapOverlay()
    overlay.show(heatmaps[0], Look(0.5, 0.2))
    overlay.show(heatmaps[1], Look(0.5, 0.2))

    overlay.hide(scene)

    assert [view.GetForegroundVolumeID() for view in views] == [other.GetID(), None, None]
    assert views[0].GetForegroundOpacity() == pytest.approx(0.3)
    assert overlay.nodeId is None


def test_hiding_survives_that_the_volumes_were_deleted(scene, add_volume, heatmaps, views):
    other = add_volume("PET")
    views[0].SetForegroundVolumeID(other.GetID())
    overlay = HeatmapOverlay()
    overlay.show(heatmaps[0], Look(0.5, 0.2))
    scene.RemoveNode(other)
    scene.RemoveNode(heatmaps[0])

    overlay.hide(scene)

    assert [view.GetForegroundVolumeID() for view in views] == [None, None, None]


def test_segments_are_outlines_while_a_heatmap_is_shown(scene, heatmaps, views):
    displays = []
    for filled in (True, False):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility2DFill(filled)
        displays.append(node.GetDisplayNode())
    overlay = HeatmapOverlay()

    overlay.show(heatmaps[0], Look(0.5, 0.2))
    overlay.show(heatmaps[1], Look(0.5, 0.2))
    assert [bool(display.GetVisibility2DFill()) for display in displays] == [False, False]

    overlay.hide(scene)
    assert [bool(display.GetVisibility2DFill()) for display in displays] == [True, False]


def test_only_the_heatmap_that_is_shown_has_a_legend(scene, heatmaps, views):
    legend_of = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode
    overlay = HeatmapOverlay()

    overlay.show(heatmaps[0], Look(0.5, 0.2))
    assert legend_of(heatmaps[0]).GetVisibility()

    overlay.show(heatmaps[1], Look(0.5, 0.2))
    assert not legend_of(heatmaps[0]).GetVisibility()
    assert legend_of(heatmaps[1]).GetVisibility()

    overlay.hide(scene)
    assert not legend_of(heatmaps[1]).GetVisibility()
