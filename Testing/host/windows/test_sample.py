"""The main job in the window: the sample's scans in, the tumour out, with the bundled model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import slicer

from host.application import REPOSITORY
from host.pauses import Pauses

SAMPLE = REPOSITORY / "FactorizerSegmentation" / "Resources" / "SampleData" / "BrainTumour"
LOWEST_DICE = 0.75
SCREENSHOTS = "FACTORIZER_SCREENSHOTS"
"""Folder that takes a picture of the window, if this variable is set."""


def test_the_sample_tumour_is_found(host, module, choose_model, tmp_path):
    for channel in ("FLAIR", "T1", "T1ce", "T2"):
        slicer.util.loadVolume(str(SAMPLE / f"{channel}.nii.gz"))
    choose_model("Glioma")
    host.process_events(0.2)
    assert module.segmentPanel.ui.applyButton.enabled

    pauses = Pauses()
    module.segmentPanel.ui.applyButton.click()
    assert host.wait_until(lambda: not module.segmentPanel.controls.running, 400)

    host.process_events(0.5)  # all is drawn
    longest = pauses.longest()
    print(f"Longest pause {longest:.3f} s, of which {pauses.busy:.3f} s of processor time (0.1)")

    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert dice(segmentation, slicer.util.getNode("FLAIR")) > LOWEST_DICE
    picture = host.screenshot(Path(os.environ.get(SCREENSHOTS, tmp_path)) / "window.png")
    assert picture.stat().st_size > 50_000


def dice(segmentation, reference) -> float:
    """Overlap of everything that was found with everything that experts have drawn."""
    label = slicer.util.loadLabelVolume(str(SAMPLE / "label.nii.gz"), {"show": False})
    truth = slicer.util.arrayFromVolume(label) > 0
    found = np.zeros_like(truth)
    for index in range(segmentation.GetSegmentation().GetNumberOfSegments()):
        segment = segmentation.GetSegmentation().GetNthSegmentID(index)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, reference)
        found |= mask.astype(bool)
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())
