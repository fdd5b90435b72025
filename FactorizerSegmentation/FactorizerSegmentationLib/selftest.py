"""The main job on the sample case, through the panel, as Slicer's own tests run it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import slicer

from FactorizerSegmentationLib.sample_data import CHANNELS, SAMPLE_FOLDER
from FactorizerSegmentationLib.scene.segments import segmentIdOf

MODULE = "FactorizerSegmentation"
FAMILY = "glioma"
WHOLE_TUMOUR = (1, 2, 4)
LOWEST_DICE = 0.6
READY_SECONDS = 10
TIMEOUT_SECONDS = 900


def loadSample() -> dict[str, object]:
    """Load the sample's scans into the scene; returns the volume node of each channel."""
    return {
        channel: slicer.util.loadVolume(
            str(SAMPLE_FOLDER / f"{channel}.nii.gz"), {"name": channel, "show": False}
        )
        for channel in CHANNELS
    }


def openedWidget():
    """The module's widget, shown to the user if there is a window.

    Raises:
        RuntimeError: If the module cannot be opened.
    """
    if slicer.util.mainWindow() is not None:
        slicer.util.selectModule(MODULE)
    widget = slicer.util.getModuleWidget(getattr(slicer.modules, MODULE.lower()))
    if widget.workbench is None:
        raise RuntimeError("The module's panel could not be opened; the application log says why.")
    return widget


def wholeTumourDice(widget) -> float:
    """Segment the sample with a glioma model, as a user does, and compare with the experts' label.

    Raises:
        RuntimeError: If there is no such model, or the run fails.
    """
    volumes = loadSample()
    chooseModel(widget, FAMILY)
    pressSegment(widget.segmentPanel)
    segmentation = widget.logic.getParameterNode().segment.segmentation
    if segmentation is None:
        raise RuntimeError(widget.segmentPanel.ui.statusLabel.text or "The run did not start.")
    return dice(segmentation, volumes[CHANNELS[0]])


def chooseModel(widget, family: str) -> None:
    """Choose the first model of a family in the panel.

    Raises:
        RuntimeError: If there is none.
    """
    families = [model.family for model in widget.logic.models()]
    if family not in families:
        raise RuntimeError(f"No {family} model is installed.")
    widget.inputsPanel.ui.modelComboBox.currentIndex = families.index(family)


def pressSegment(panel) -> None:
    """Press the button as soon as it can be pressed, and let the application work until the end.

    Raises:
        RuntimeError: If the button stays off, or the run takes too long.
    """
    if not waitUntil(lambda: panel.ui.applyButton.enabled, READY_SECONDS):
        raise RuntimeError(panel.inputs.problem())
    panel.ui.applyButton.click()
    if not waitUntil(lambda: not panel.controls.running, TIMEOUT_SECONDS):
        raise RuntimeError("The engine took too long.")


def waitUntil(condition: Callable[[], bool], seconds: float) -> bool:
    """Let the application work until the condition holds; False if it never did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        slicer.app.processEvents()
        time.sleep(0.02)
    return True


def dice(segmentationNode, volumeNode) -> float:
    """Dice overlap of the whole tumour with the sample's label, on the volume's grid."""
    labelNode = slicer.util.loadLabelVolume(str(SAMPLE_FOLDER / "label.nii.gz"), {"show": False})
    truth = np.isin(slicer.util.arrayFromVolume(labelNode), WHOLE_TUMOUR)
    slicer.mrmlScene.RemoveNode(labelNode)
    found = np.zeros_like(truth)
    for label in WHOLE_TUMOUR:
        segmentId = segmentIdOf(label)
        if segmentationNode.GetSegmentation().GetSegment(segmentId) is not None:
            found |= slicer.util.arrayFromSegmentBinaryLabelmap(
                segmentationNode, segmentId, volumeNode
            ).astype(bool)
    common, both = int((found & truth).sum()), int(found.sum() + truth.sum())
    return 2 * common / max(1, both)
