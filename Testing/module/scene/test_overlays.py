from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.components import Component, Term
from FactorizerSegmentationLib.scene.color_maps import (
    activityMaps,
    colorNodeOf,
    evidenceMaps,
    pairMap,
)
from FactorizerSegmentationLib.scene.component_masks import activeRange
from FactorizerSegmentationLib.scene.explanations import (
    Step,
    addStep,
    createExplanation,
    leadingIn,
    stepOf,
)
from FactorizerSegmentationLib.scene.heatmaps import (
    compactInto,
    heatmapOf,
    isHeatmap,
    measured,
)
from FactorizerSegmentationLib.scene.overlays import HeatmapOverlay, Look
from FactorizerSegmentationLib.scene.volumes import Place, emptyImage, voxelsOf, worldAffine
from module.geometry import orientation_affines, tilted

SHAPE = (5, 6, 7)
WINDOW = (0.0, 4.0)


@pytest.fixture
def reference(add_volume, add_transform):
    return add_volume(affine=orientation_affines()["LPS"], parent=add_transform(tilted()))


@pytest.fixture
def explain(scene, reference):
    """Keeps a map of a component in a new explanation of the reference, or beside others."""

    def explain(component, values, kind="activity", sequenceNode=None, scan=reference) -> Step:
        place = Place.of(scan, SHAPE, np.eye(4))
        voxels = voxelsOf(scan) if scan else None
        heatmap = measured(component, values, voxels, kind)
        image = emptyImage(values.shape)
        list(compactInto(image, values, voxels, heatmap.window))
        node = sequenceNode or createExplanation(scene, "components", place)
        return addStep(node, heatmap, image, place.affine)

    return explain


@pytest.fixture
def heatmaps(explain):
    steps = []
    for number, peak in enumerate((9.0, 0.5), start=1):
        voxels = np.linspace(0, peak, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
        contributions = {"ET": 1.5 / number, "WT": 0.25}
        node = steps[0].sequenceNode if steps else None
        component = info(f"Component {number}", contributions)
        steps.append(explain(component, voxels, sequenceNode=node))
    return steps


@pytest.fixture
def seen(scene, views):
    """Gives the volume through which a step is seen."""

    def seen(step, look=None):
        overlay = HeatmapOverlay()
        overlay.show(scene, step, look or Look())
        return scene.GetNodeByID(overlay.nodeId)

    return seen


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


def test_all_heatmaps_share_one_window_whatever_their_own_range(heatmaps, seen):
    displays = [seen(step).GetDisplayNode() for step in heatmaps]

    assert [(d.GetWindowLevelMin(), d.GetWindowLevelMax()) for d in displays] == [WINDOW, WINDOW]
    assert not any(display.GetAutoWindowLevel() for display in displays)
    assert len({display.GetColorNodeID() for display in displays}) == 1


def test_heatmaps_lie_on_their_scan(heatmaps, reference, seen):
    for step in heatmaps:
        assert step.worldAffine() == pytest.approx(worldAffine(reference))
        assert worldAffine(seen(step)) == pytest.approx(worldAffine(reference))
        assert step.volumeNode.GetImageData().GetDimensions() == SHAPE


def test_heatmaps_follow_the_transform_of_their_scan(heatmaps, reference, seen):
    matrix = slicer.util.vtkMatrixFromArray(np.diag([1.0, 1.0, 2.0, 1.0]))
    reference.GetParentTransformNode().SetMatrixTransformToParent(matrix)

    assert heatmaps[0].worldAffine() == pytest.approx(worldAffine(reference))
    assert worldAffine(seen(heatmaps[0])) == pytest.approx(worldAffine(reference))


def test_switching_copies_no_voxels_and_makes_no_nodes(scene, heatmaps, views):
    overlay = HeatmapOverlay()
    overlay.show(scene, heatmaps[0], Look())
    node, count = scene.GetNodeByID(overlay.nodeId), scene.GetNumberOfNodes()

    overlay.show(scene, heatmaps[1], Look())

    assert scene.GetNodeByID(overlay.nodeId) is node and scene.GetNumberOfNodes() == count
    assert node.GetImageData() is heatmaps[1].volumeNode.GetImageData()
    assert node.GetName() == "Component 2 (activity)"


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


def test_contributions_are_kept_with_the_heatmap(scene, heatmaps, seen):
    assert leadingIn(scene)[0].key == heatmaps[0].key
    assert heatmapOf(seen(heatmaps[0])) == heatmaps[0].heatmap
    shown = leadingIn(scene)[0].heatmap.component
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
    overlay.show(scene, heatmaps[0], Look(0.5, 0.25))
    node = scene.GetNodeByID(overlay.nodeId)
    display = node.GetDisplayNode()

    assert display.GetApplyThreshold()
    assert drawnPart(node) == pytest.approx(0.25, abs=0.02)
    assert display.GetUpperThreshold() >= 9.0

    overlay.setShownPart(scene, 0.5)

    assert drawnPart(node) == pytest.approx(0.5, abs=0.02)


def test_activation_outside_the_head_does_not_decide_what_is_drawn(explain, seen, add_volume):
    reference = add_volume()
    head = np.zeros(SHAPE, bool)
    head[: SHAPE[0] // 2] = True
    voxelsOf(reference)[...] = np.where(head, 100, 0)
    activation = np.where(head, np.arange(head.size).reshape(SHAPE), 1e6).astype(np.float32)

    node = seen(explain(info(), activation, scan=reference))

    drawn = voxelsOf(node) >= node.GetDisplayNode().GetLowerThreshold()
    assert drawn[head].mean() == pytest.approx(0.05, abs=0.02)
    assert not voxelsOf(node)[~head].any()


def test_values_are_few_and_differ_less_than_colours_can_show(explain, reference):
    activation = np.random.default_rng(0).uniform(0, 6, SHAPE).astype(np.float32)
    voxelsOf(reference)[...] = 1

    node = explain(info(), activation).volumeNode

    step = WINDOW[1] / 255
    assert np.abs(voxelsOf(node) - activation).max() <= step / 2 * 1.001
    assert np.unique(voxelsOf(node)).size < activation.size
    assert voxelsOf(node) / step == pytest.approx(np.rint(voxelsOf(node) / step), abs=1e-3)


@pytest.mark.parametrize("window", [(0.0, 0.0), WINDOW])
def test_a_silent_component_and_a_scan_that_is_gone_give_a_heatmap(explain, seen, window):
    component = Component(Term(0, "decoder.3.0", 0, 0), "Silent", {}, window)

    node = seen(explain(component, np.zeros(SHAPE, np.float32), scan=None))

    assert isHeatmap(node)
    assert not voxelsOf(node).any()


def test_evidence_that_is_nearly_white_is_not_drawn_over_the_scan(explain):
    values = np.linspace(-1, 1, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    own = replace(info("A", {"ET": 2.0}), region="ET", evidence_window=(-1.0, 1.0))
    strong = explain(own, values, "evidence").heatmap
    weak = explain(replace(own, name="B"), values / 50, "evidence").heatmap
    activity = explain(replace(own, name="C", window=(0.0, 1.0)), values).heatmap

    assert strong.levelOf(0.05) == pytest.approx(0.9, abs=0.02)
    assert strong.levelOf(1.0) == pytest.approx(0.1)
    assert 0 < weak.levelOf(1.0) < 0.03
    assert activity.levelOf(1.0) < 1e-30


def test_a_component_is_strong_from_a_part_of_the_colours_on_that_are_shown(explain, seen):
    values = np.linspace(6, 14, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    own = replace(info("A"), window=(6.0, 14.0), evidence_window=(-2.0, 2.0))
    step = explain(own, values)
    half, _highest = activeRange(seen(step), 0.5)

    assert half == pytest.approx(10.0)
    assert [step.heatmap.partAt(value) for value in (3, 6, 10, 14, 20)] == [0, 0, 0.5, 1, 1]
    evidence = explain(replace(own, name="B"), values - 8, "evidence")
    assert activeRange(seen(evidence), 0.5)[0] == pytest.approx(1.0)


def test_evidence_is_drawn_on_the_side_for_which_the_component_speaks(scene, explain, seen):
    values = np.linspace(-1, 1, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    for contribution in (2.0, -2.0):
        own = replace(info("A", {"ET": contribution}), region="ET", evidence_window=(-1.0, 1.0))
        step = explain(own, values, "evidence")
        sequence = step.sequenceNode
        activity = explain(own, values, sequenceNode=sequence)
        node = seen(step)
        display = node.GetDisplayNode()
        drawn = voxelsOf(node)[
            (voxelsOf(node) >= display.GetLowerThreshold())
            & (voxelsOf(node) <= display.GetUpperThreshold())
        ]
        assert (np.sign(drawn) == np.sign(contribution)).all()
        assert drawn.size == pytest.approx(0.05 * values.size, abs=2)
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-1.0, 1.0)
        assert stepOf(step, "evidence") is step
        assert stepOf(step, "activity").key == activity.key
        assert [it.key for it in leadingIn(scene)] == [step.key]
        sequence.RemoveDataNodeAtValue(step.name)
        assert [it.key for it in leadingIn(scene)] == [activity.key]
        scene.RemoveNode(sequence)


def test_the_heatmap_is_the_foreground_of_every_view(scene, heatmaps, views):
    overlay = HeatmapOverlay()
    overlay.show(scene, heatmaps[0], Look(0.5, 0.2))

    assert {view.GetForegroundVolumeID() for view in views} == {overlay.nodeId}
    assert {view.GetForegroundOpacity() for view in views} == {0.5}

    overlay.setOpacity(scene, 0.8)

    assert {view.GetForegroundOpacity() for view in views} == {0.8}


def test_hiding_puts_back_what_each_view_showed(scene, add_volume, heatmaps, views):
    other = add_volume("PET")
    views[0].SetForegroundVolumeID(other.GetID())
    views[0].SetForegroundOpacity(0.3)
    overlay = HeatmapOverlay()
    overlay.show(scene, heatmaps[0], Look(0.5, 0.2))
    overlay.show(scene, heatmaps[1], Look(0.5, 0.2))

    overlay.hide(scene)

    assert [view.GetForegroundVolumeID() for view in views] == [other.GetID(), None, None]
    assert views[0].GetForegroundOpacity() == pytest.approx(0.3)
    assert overlay.nodeId is None


def test_what_the_user_lays_over_the_scan_meanwhile_stays(scene, add_volume, heatmaps, views):
    overlay, own = HeatmapOverlay(), add_volume("own")
    overlay.show(scene, heatmaps[0], Look())
    views[0].SetForegroundVolumeID(own.GetID())
    views[0].SetForegroundOpacity(0.4)
    overlay.setOpacity(scene, 0.8)
    assert views[0].GetForegroundOpacity() == 0.4
    overlay.hide(scene)
    assert [view.GetForegroundVolumeID() for view in views] == [own.GetID(), None, None]

    overlay.show(scene, heatmaps[0], Look())
    views[1].SetForegroundVolumeID(own.GetID())
    overlay.show(scene, heatmaps[1], Look())
    overlay.hide(scene)
    assert [view.GetForegroundVolumeID() for view in views] == [own.GetID()] * 2 + [None]
    assert views[0].GetForegroundOpacity() == 0.4


def test_hiding_survives_that_the_volumes_were_deleted(scene, add_volume, heatmaps, views):
    other = add_volume("PET")
    views[0].SetForegroundVolumeID(other.GetID())
    overlay = HeatmapOverlay()
    overlay.show(scene, heatmaps[0], Look(0.5, 0.2))
    scene.RemoveNode(other)
    scene.RemoveNode(scene.GetNodeByID(overlay.nodeId))
    assert overlay.isStale(scene)

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

    overlay.show(scene, heatmaps[0], Look(0.5, 0.2))
    overlay.show(scene, heatmaps[1], Look(0.5, 0.2))
    assert [bool(display.GetVisibility2DFill()) for display in displays] == [False, False]

    overlay.hide(scene)
    assert [bool(display.GetVisibility2DFill()) for display in displays] == [True, False]


def test_what_is_shown_has_a_legend_that_goes_with_it(scene, heatmaps, views):
    legend_of = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode
    overlay = HeatmapOverlay()

    for step in heatmaps:
        overlay.show(scene, step, Look(0.5, 0.2))
        assert legend_of(scene.GetNodeByID(overlay.nodeId)).GetVisibility()

    overlay.hide(scene)
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode", scene)


@pytest.mark.parametrize("lost", [None, 0, 1])
def test_a_second_heatmap_is_not_taken_over_from_a_file_without_the_first(
    scene, heatmaps, views, lost
):
    HeatmapOverlay().show(scene, heatmaps[0], Look(), heatmaps[1])
    nodes = [
        scene.GetNodeByID(views[0].GetForegroundVolumeID()),
        scene.GetNodeByID(views[0].GetNthLayerVolumeID(3)),
    ]
    if lost is not None:
        nodes[lost].SetAndObserveImageData(None)
    overlay = HeatmapOverlay()
    overlay.adopt(scene)
    left = [node.GetScene() is not None for node in nodes]

    assert left == {None: [True, True], 0: [False, False], 1: [True, False]}[lost]
    for view in views:
        assert (view.GetForegroundVolumeID() is not None) == left[0]
        assert (view.GetNthLayerVolumeID(3) is not None) == left[1]
    overlay.hide(scene)
    assert all(node.GetScene() is None for node in nodes)
