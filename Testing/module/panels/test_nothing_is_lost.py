"""What a user did in the review outlives crashes of the engine and new runs, and can be undone."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import slicer

from module.panels.user import run, segmentations, start_and_wait_for_progress

CORE = "Label_1"


@pytest.fixture
def result(host, scene, panel, volumes, fake_python):
    run(host, panel, fake_python("answer"))
    (node,) = segmentations(scene)
    return node


def voxels(node) -> np.ndarray:
    """The segments, one after the other."""
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    ids = node.GetSegmentation().GetSegmentIDs()
    read = slicer.util.arrayFromSegmentBinaryLabelmap
    return np.stack([read(node, segmentId, scan) for segmentId in ids])


@pytest.fixture
def states(host, widget, result) -> list[np.ndarray]:
    """The segments before and after every step of a review, all different from the one before."""
    review, adjust = widget.reviewPanel, widget.adjustPanel
    found = [voxels(result)]

    def done() -> None:
        found.append(voxels(result))
        assert not np.array_equal(found[-1], found[-2])

    adjust.ui.adjustRegionComboBox.currentIndex = 1
    adjust.ui.thresholdSlider.value = 20
    assert host.wait_until(lambda: not adjust._rest.active)
    done()
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))
    review.ui.rejectButton.click()
    done()
    adjust.ui.thresholdSlider.value = 35
    assert host.wait_until(lambda: not adjust._rest.active)
    done()
    return found


def undo_and_redo_all(widget, result, states) -> None:
    ui = widget.reviewPanel.ui
    for state in reversed(states[:-1]):
        ui.undoButton.click()
        np.testing.assert_array_equal(voxels(result), state)
    assert not ui.undoButton.enabled
    for state in states[1:]:
        ui.redoButton.click()
        np.testing.assert_array_equal(voxels(result), state)
    assert not ui.redoButton.enabled


def test_a_killed_engine_loses_no_step(host, widget, panel, result, states, fake_python):
    start_and_wait_for_progress(host, panel, fake_python("obey"))
    os.kill(widget.logic.engine.processId, signal.SIGKILL)
    assert host.wait_until(lambda: not panel.controls.running)
    assert panel.controls.failedLast

    np.testing.assert_array_equal(voxels(result), states[-1])
    undo_and_redo_all(widget, result, states)


def test_a_crash_loses_no_step(host, widget, panel, result, states, fake_python):
    run(host, panel, fake_python("crash"))
    assert panel.controls.failedLast
    undo_and_redo_all(widget, result, states)


def test_a_new_run_loses_no_step(host, scene, widget, panel, result, states, fake_python):
    run(host, panel, fake_python("answer"))
    (newest,) = [node for node in segmentations(scene) if node is not result]
    before = voxels(newest)

    undo_and_redo_all(widget, result, states)
    np.testing.assert_array_equal(voxels(newest), before)


def test_nothing_is_undone_on_a_scan_that_is_gone(host, scene, widget, result, states):
    """It would fail, and the step would be lost nevertheless."""
    ui = widget.reviewPanel.ui
    ui.undoButton.click()
    assert ui.undoButton.enabled and ui.redoButton.enabled
    scene.RemoveNode(result.GetNodeReference(result.GetReferenceImageGeometryReferenceRole()))
    host.process_events(0.1)
    assert not ui.undoButton.enabled and not ui.redoButton.enabled
