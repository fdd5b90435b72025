"""Clicks through the module inside Slicer; run by ctest."""

from __future__ import annotations

import unittest

import slicer


class FactorizerSegmentationPanelTest(unittest.TestCase):
    """The panel, as a user meets it."""

    def setUp(self) -> None:
        from FactorizerSegmentationLib import selftest

        slicer.mrmlScene.Clear()
        self.widget = selftest.openedWidget()
        self.panel = self.widget.segmentPanel

    def tearDown(self) -> None:
        slicer.mrmlScene.Clear()

    def test_withoutScansTheButtonIsOff(self) -> None:
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertIn("FLAIR", self.panel.inputs.problem())

    def test_scansAreMatchedByName(self) -> None:
        volumes = self.loadSample()
        chosen = {name: node.GetID() for name, node in self.panel.inputs.channels.volumes().items()}
        self.assertEqual(chosen, {name: node.GetID() for name, node in volumes.items()})
        self.assertTrue(self.panel.ui.applyButton.enabled)

    def test_aCancelledRunLeavesTheSceneAlone(self) -> None:
        from FactorizerSegmentationLib import selftest
        from FactorizerSegmentationLib.panels.run_controls import DOUBLE_CLICK_S

        self.loadSample()
        self.panel.ui.applyButton.click()
        self.assertTrue(self.panel.controls.running)
        selftest.waitUntil(lambda: False, DOUBLE_CLICK_S)
        self.panel.ui.applyButton.click()
        self.waitForEnd()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def test_applyMakesASegmentation(self) -> None:
        from FactorizerSegmentationLib import selftest

        volumes = self.loadSample()
        selftest.pressSegment(self.panel)
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        self.assertIsNotNone(node, self.panel.ui.statusLabel.text)
        self.assertGreater(selftest.dice(node, volumes["FLAIR"]), selftest.LOWEST_DICE)
        self.assertGreater(self.widget.reviewPanel.ui.lesionsTree.topLevelItemCount, 0)

    def loadSample(self) -> dict[str, object]:
        from FactorizerSegmentationLib import selftest

        volumes = selftest.loadSample()
        slicer.app.processEvents()
        return volumes

    def waitForEnd(self) -> None:
        from FactorizerSegmentationLib import selftest

        self.assertTrue(selftest.waitUntil(lambda: not self.panel.controls.running, 60))
