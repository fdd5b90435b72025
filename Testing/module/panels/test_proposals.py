"""Lesions that are added and removed by a click into a slice view."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from host import mouse
from module.geometry import apply
from module.panels.user import AFFINE, run, segmentations

ENHANCING, CORE = "Label_4", "Label_1"
"""The fake engine's lesions: enhancing is [4:6, 2:4, 1:3] and core [0:3, 2:4, 1:3], (i, j, k)."""


@pytest.fixture
def proposals(host, widget, panel, volumes, fake_python):
    """The panel after a run that has also seen a faint lesion at [6:8, 5:7, 3:5]."""
    run(host, panel, fake_python("answer"))
    node = widget.logic.getParameterNode().segment.segmentation
    from FactorizerSegmentationLib.scene.probabilities import mapsOf

    for mapNode, high in zip(mapsOf(node), (30, 100), strict=True):  # ET and TC
        array = slicer.util.arrayFromVolume(mapNode)
        array[3:5, 5:7, 6:8] = high
        slicer.util.arrayFromVolumeModified(mapNode)
    return widget.proposalPanel


@pytest.fixture
def result(scene, proposals):
    (node,) = segmentations(scene)
    return node


@pytest.fixture
def click(host):
    """Click into the axial view at a voxel of the scan."""
    return lambda voxel: mouse.click(host, apply(AFFINE, voxel))


def mask(node, segment: str) -> np.ndarray:
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan).transpose(2, 1, 0)


def previews() -> list:
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetName() == "Proposal"]


def leftovers() -> list:
    return slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")


def drawn_points() -> int:
    """Points of markups that the axial view draws."""
    renderer = slicer.app.layoutManager().sliceWidget("Red").sliceView()._view.overlay
    props = renderer.GetViewProps()
    found = [props.GetItemAsObject(index) for index in range(props.GetNumberOfItems())]
    return sum(
        prop.IsA("vtkSlicerPointsRepresentation2D") and bool(prop.GetVisibility()) for prop in found
    )


def test_the_click_leaves_no_point_in_the_views(proposals, click):
    proposals.ui.removeLesionButton.click()
    click((5, 3, 2))

    assert proposals.ui.decisionWidget.visible
    assert drawn_points() == 0


def test_a_faint_lesion_is_proposed_accepted_undone_and_redone(widget, proposals, result, click):
    before = mask(result, CORE).sum()
    proposals.ui.addLesionButton.click()
    click((6, 5, 3))

    assert proposals.ui.proposalLabel.text == "Add 0.048 mL?"
    assert len(previews()) == 1 and leftovers() == []
    assert mask(result, CORE).sum() == before

    proposals.ui.acceptProposalButton.click()
    assert mask(result, CORE)[6:8, 5:7, 3:5].all()
    assert mask(result, CORE).sum() == before + 8
    assert previews() == []

    widget.reviewPanel.ui.undoButton.click()
    assert mask(result, CORE).sum() == before
    widget.reviewPanel.ui.redoButton.click()
    assert mask(result, CORE).sum() == before + 8


def test_the_slider_makes_the_proposal_larger_and_gives_it_its_parts(proposals, result, click):
    proposals.ui.addLesionButton.click()
    click((6, 5, 3))
    proposals.ui.proposalSlider.value = 10
    proposals.ui.acceptProposalButton.click()

    assert mask(result, ENHANCING)[6:8, 5:7, 3:5].all()


def test_an_added_lesion_is_listed_and_marked_as_the_users(host, widget, proposals, result, click):
    proposals.ui.addLesionButton.click()
    click((6, 5, 3))
    proposals.ui.acceptProposalButton.click()

    tree = widget.reviewPanel.ui.lesionsTree
    assert host.wait_until(lambda: tree.topLevelItemCount == 3, 20)
    titles = [tree.topLevelItem(row).text(0) for row in range(3)]
    assert [title[0] for title in titles if "\u270e" in title] == ["3"]


def test_a_proposal_that_is_discarded_changes_nothing(proposals, result, click):
    before = mask(result, CORE).copy()
    proposals.ui.addLesionButton.click()
    click((6, 5, 3))
    proposals.ui.discardProposalButton.click()

    assert previews() == []
    assert not proposals.ui.decisionWidget.visible
    np.testing.assert_array_equal(mask(result, CORE), before)


def test_where_the_model_sees_nothing_nothing_is_proposed(proposals, click):
    proposals.ui.addLesionButton.click()
    click((0, 6, 5))
    assert "The model sees nothing here (below 5 %)" in proposals.ui.proposalLabel.text

    proposals.ui.addLesionButton.click()
    click((1, 2, 1))
    assert "There is a segment already" in proposals.ui.proposalLabel.text
    assert not proposals.ui.decisionWidget.visible


def test_a_listed_lesion_that_is_removed_is_rejected(widget, proposals, result, click):
    proposals.ui.removeLesionButton.click()
    click((5, 3, 2))
    assert proposals.ui.proposalLabel.text == "Remove 0.048 mL?"
    assert mask(result, ENHANCING).any()

    proposals.ui.acceptProposalButton.click()
    assert not mask(result, ENHANCING).any()
    first = widget.reviewPanel.ui.lesionsTree.topLevelItem(0)
    assert first.font(0).strikeOut()

    widget.reviewPanel.ui.undoButton.click()
    assert mask(result, ENHANCING).sum() == 8
    assert not first.font(0).strikeOut()


def test_a_piece_that_is_not_listed_can_be_removed(widget, proposals, result, click):
    array = mask(result, CORE).copy()
    array[7, 0, 5] = 1
    scan = result.GetNodeReference(result.GetReferenceImageGeometryReferenceRole())
    slicer.util.updateSegmentBinaryLabelmapFromArray(array.transpose(2, 1, 0), result, CORE, scan)
    proposals.ui.removeLesionButton.click()
    click((7, 0, 5))
    proposals.ui.acceptProposalButton.click()

    assert mask(result, CORE).sum() == 12
    widget.reviewPanel.ui.undoButton.click()
    assert mask(result, CORE).sum() == 13


def test_a_click_beside_everything_says_so(proposals, click):
    proposals.ui.removeLesionButton.click()
    click((7, 6, 5))
    assert "There is no lesion here" in proposals.ui.proposalLabel.text


def test_the_wait_for_a_click_ends_with_the_button_and_with_the_module(host, widget, proposals):
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    proposals.ui.addLesionButton.click()
    assert proposals.ui.addLesionButton.checked
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    proposals.ui.addLesionButton.click()
    assert not proposals.ui.addLesionButton.checked
    assert interaction.GetCurrentInteractionMode() != interaction.Place

    proposals.ui.removeLesionButton.click()
    widget.exit()
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    assert leftovers() == []

    widget.enter()
    proposals.ui.addLesionButton.click()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)  # as Escape does
    host.process_events()
    assert not proposals.ui.addLesionButton.checked
    assert leftovers() == []


def test_without_maps_lesions_can_only_be_removed(host, scene, proposals, result):
    from FactorizerSegmentationLib.scene.probabilities import mapsOf

    for node in mapsOf(result):
        scene.RemoveNode(node)
    host.process_events()

    assert not proposals.ui.addLesionButton.enabled
    assert "probability maps" in proposals.ui.addLesionButton.toolTip
    assert proposals.ui.removeLesionButton.enabled


def test_a_scene_that_is_closed_during_a_proposal_leaves_nothing(host, scene, proposals, click):
    proposals.ui.addLesionButton.click()
    click((6, 5, 3))
    scene.Clear(False)
    host.process_events()

    assert previews() == []
    assert not proposals.ui.decisionWidget.visible
