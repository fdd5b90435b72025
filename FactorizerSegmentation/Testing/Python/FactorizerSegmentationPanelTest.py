"""Clicks through the module inside Slicer; run by ctest."""

from __future__ import annotations

import time
import unittest

import slicer

TIMEOUT_SECONDS = 900


class FactorizerSegmentationPanelTest(unittest.TestCase):
    """The panel, as a user meets it."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("FactorizerSegmentation")
        self.widget = slicer.util.getModuleWidget(slicer.modules.factorizersegmentation)
        self.panel = self.widget.segmentPanel

    def tearDown(self) -> None:
        slicer.mrmlScene.Clear()

    def test_withoutScansTheButtonIsOff(self) -> None:
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertIn("FLAIR", self.panel.problem())

    def test_scansAreMatchedByName(self) -> None:
        volumes = self.loadSample()
        chosen = {name: node.GetID() for name, node in self.panel.channels.volumes().items()}
        self.assertEqual(chosen, {name: node.GetID() for name, node in volumes.items()})
        self.assertTrue(self.panel.ui.applyButton.enabled)

    def test_aCancelledRunLeavesTheSceneAlone(self) -> None:
        self.loadSample()
        self.panel.ui.applyButton.click()
        self.assertTrue(self.panel.controls.running)
        self.panel.ui.applyButton.click()
        self.waitForEnd()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def test_applyMakesASegmentation(self) -> None:
        from FactorizerSegmentationLib import selftest

        volumes = self.loadSample()
        self.panel.ui.applyButton.click()
        self.waitForEnd()
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.assertIsNotNone(node, self.panel.ui.statusLabel.text)
        self.assertGreater(selftest.dice(node, volumes["FLAIR"]), selftest.LOWEST_DICE)
        self.assertGreater(self.panel.ui.lesionsTable.rowCount, 0)

    def loadSample(self) -> dict[str, object]:
        from FactorizerSegmentationLib import selftest

        volumes = selftest.loadSample()
        slicer.app.processEvents()
        return volumes

    def waitForEnd(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.panel.controls.running and time.monotonic() < deadline:
            slicer.app.processEvents()
            time.sleep(0.02)
        self.assertFalse(self.panel.controls.running)
