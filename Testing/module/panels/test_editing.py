"""The Segment Editor in the panel: for the result, on its scan, with undo; gone with the module."""

from __future__ import annotations

import pytest
import slicer

from module.panels.user import AFFINE, NAMES, SHAPE, run, segmentations

ENHANCING = "Label_4"


@pytest.fixture
def editing(host, widget, panel, volumes, fake_python):
    """The panel after a run; folded before and again at the end."""
    button = widget.editPanel.ui.editByHandButton
    button.collapsed = True
    run(host, panel, fake_python("answer"))
    yield widget.editPanel
    button.collapsed = True  # a click would do nothing where the result is gone


@pytest.fixture
def editor(host, editing):
    """The opened editor."""
    editing.ui.editByHandButton.click()
    host.process_events()
    return editing.editor.widget


@pytest.fixture
def result(scene, editing):
    (node,) = segmentations(scene)
    return node


def voxels(node, segment: str) -> int:
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    return int(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan).sum())


def test_the_editor_is_made_when_it_is_opened_first(host, editing):
    assert editing.ui.editByHandButton.collapsed
    assert editing.editor.widget is None or not editing.editor._active


def test_it_shows_the_result_on_its_scan_with_masks_and_undo(editor, result, volumes):
    assert editor.visible
    assert editor.segmentationNode() is result
    assert editor.sourceVolumeNode() is volumes["FLAIR"]
    assert editor.maskingSectionVisible and editor.undoEnabled
    assert editor.maximumNumberOfUndoStates == 10
    assert not editor.segmentationNodeSelectorVisible
    assert not editor.autoShowSourceVolumeNode
    node = editor.mrmlSegmentEditorNode()
    assert node.GetOverwriteMode() == node.OverwriteVisibleSegments
    assert not node.GetSaveWithScene()


def test_hidden_segments_are_safe_in_the_next_scene_too_unless_the_user_wants_otherwise(
    host, scene, panel, editor, editing, volumes, fake_python, add_volume
):
    scene.Clear(False)
    host.process_events()
    for name in NAMES:
        add_volume(name, SHAPE, AFFINE)
    host.process_events()
    run(host, panel, fake_python("answer"))
    node = editor.mrmlSegmentEditorNode()
    assert node.GetOverwriteMode() == node.OverwriteVisibleSegments

    node.SetOverwriteMode(node.OverwriteNone)
    run(host, panel, fake_python("answer"))
    assert editor.mrmlSegmentEditorNode().GetOverwriteMode() == node.OverwriteNone


def test_a_step_of_the_panel_is_a_step_of_the_editors_undo(widget, editor, result):
    review = widget.reviewPanel
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))
    review.ui.rejectButton.click()
    assert voxels(result, ENHANCING) == 0

    editor.undo()
    assert voxels(result, ENHANCING) == 8


def test_it_goes_on_with_the_next_result(host, editor, panel, result, scene, fake_python):
    run(host, panel, fake_python("answer"))

    newest = segmentations(scene)[-1]
    assert newest is not result
    assert editor.segmentationNode() is newest


def test_it_rests_while_it_is_folded_and_in_other_modules(
    host, widget, editing, editor, monkeypatch
):
    said = []
    for name in ("installKeyboardShortcuts", "uninstallKeyboardShortcuts"):
        monkeypatch.setattr(type(editor), name, lambda self, name=name: said.append(name[:7]))
    editing.ui.editByHandButton.click()
    editing.ui.editByHandButton.click()
    widget.exit()
    widget.enter()

    assert said == ["uninsta", "install"] * 2


def test_a_deleted_result_leaves_the_editor_empty(host, scene, editing, editor, result):
    scene.RemoveNode(result)
    host.process_events()

    assert editor.segmentationNode() is None
    assert not editing.ui.editByHandButton.enabled


def test_a_closed_scene_leaves_the_editor_empty(host, scene, editing, editor):
    scene.Clear(False)
    host.process_events()

    assert editor.segmentationNode() is None
    assert not editing.widget.visible


def test_the_module_segment_editor_opens_from_it(host, editing, editor, result):
    editing.ui.openEditorButton.click()
    host.process_events()

    assert slicer.util.selectedModule() == "SegmentEditor"
    assert slicer.modules.SegmentEditorWidget.editor.segmentationNode() is result
    host.select_module("FactorizerSegmentation")
