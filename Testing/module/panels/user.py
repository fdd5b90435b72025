"""What a user does with the panels and sees in the scene, for tests of the panels."""

from __future__ import annotations

from pathlib import Path

import slicer

from FactorizerSegmentationLib.scene.segmentation_files import saveSegmentation
from module.geometry import orientation_affines

NAMES = ("FLAIR", "T1", "T1ce", "T2")
"""The channels of the model, and the names of the scans."""
SHAPE = (8, 7, 6)
AFFINE = orientation_affines()["LPS"]


def current_widget():
    """The module's widget as it is now, after a reload perhaps."""
    return slicer.util.getModuleWidget(slicer.modules.factorizersegmentation)


def run(host, panel, python: str) -> None:
    """Click Segment and wait for the end."""
    panel.ui.pythonLineEdit.text = python
    panel.ui.applyButton.click()
    assert host.wait_until(lambda: not panel.controls.running)


def start_and_wait_for_progress(host, panel, python: str) -> None:
    panel.ui.pythonLineEdit.text = python
    panel.ui.applyButton.click()
    assert host.wait_until(lambda: panel.ui.progressBar.value > 0)


def segmentations(scene) -> list:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)


def saved(segmentationNode, path: Path):
    """The `SegmentationFile` that the engine gets of a segmentation."""
    saving = saveSegmentation(segmentationNode, path)
    while True:
        try:
            next(saving)
        except StopIteration as ended:
            return ended.value
