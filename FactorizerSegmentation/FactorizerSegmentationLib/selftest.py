"""The main job on the sample case, as Slicer's own tests run it."""

from __future__ import annotations

import time

import numpy as np
import slicer

from FactorizerSegmentationLib.sample_data import CHANNELS, SAMPLE_FOLDER
from FactorizerSegmentationLib.scene.segments import segmentIdOf
from FactorizerSegmentationLib.tasks.run import Outcome, RunCallbacks, RunSettings

FAMILY = "glioma"
WHOLE_TUMOUR = (1, 2, 4)
LOWEST_DICE = 0.6
TIMEOUT_SECONDS = 900


def loadSample() -> dict[str, object]:
    """Load the sample's scans into the scene; returns the volume node of each channel."""
    return {
        channel: slicer.util.loadVolume(
            str(SAMPLE_FOLDER / f"{channel}.nii.gz"), {"name": channel, "show": False}
        )
        for channel in CHANNELS
    }


def wholeTumourDice(logic) -> float:
    """Segment the sample with a glioma model and compare with the experts' label.

    Raises:
        RuntimeError: If there is no such model, or the run fails.
    """
    volumes = loadSample()
    model = next((model for model in logic.models() if model.family == FAMILY), None)
    if model is None:
        raise RuntimeError("No glioma model is installed.")
    settings = RunSettings(model, {name: node.GetID() for name, node in volumes.items()})
    try:
        outcome = runAndWait(lambda callbacks: logic.segment(settings, callbacks))
    finally:
        logic.close()
    return dice(outcome.segmentationNode, volumes[CHANNELS[0]])


def runAndWait(start) -> Outcome:
    """Call `start` with callbacks and let the application work until one of them is called.

    Raises:
        RuntimeError: If the run fails or takes too long.
    """
    outcomes: list[Outcome] = []
    failures: list[str] = []
    start(RunCallbacks(outcomes.append, lambda kind, sentence: failures.append(sentence)))
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not outcomes and not failures:
        if time.monotonic() > deadline:
            raise RuntimeError("The engine took too long.")
        slicer.app.processEvents()
        time.sleep(0.02)
    if failures:
        raise RuntimeError(failures[0])
    return outcomes[0]


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
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))
