"""What tests of clicks do with the module, most of a model that works by clicks alone."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from factorizer_engine.protocol.errors import BadInputError
from FactorizerSegmentationLib.tasks.refine import Refined
from host import mouse

LESION = "Label_1"


def place_of(volume, voxel) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    return (affine @ [*map(float, voxel), 1])[:3]


def drawn_by_hand(scan, block):
    """A segmentation "Drawn" with the segment "mine" in a block (k, j, i); and its voxels."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    segment = node.GetSegmentation().AddEmptySegment("mine", "Mine")
    voxels = np.zeros(slicer.util.arrayFromVolume(scan).shape, np.uint8)
    voxels[block] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, scan)
    return node, voxels


def choose_scan(module, node) -> None:
    (selector,) = module.segmentPanel.inputs.channels._selectors.values()
    selector.setCurrentNode(node)


def settle(host, module) -> None:
    """Wait for the answer to a click."""
    assert host.wait_until(lambda: not module.logic.busy, 60)
    host.process_events(0.2)
    assert host.wait_until(lambda: not module.logic.busy, 60)
    host.process_events(0.05)


def result(module):
    return module.logic.getParameterNode().segment.segmentation


def mask(module, scan) -> np.ndarray:
    """Where the lesion is, (I, J, K)."""
    found = slicer.util.arrayFromSegmentBinaryLabelmap(result(module), LESION, scan)
    return found.transpose(2, 1, 0) != 0


def wait_for_lesions(host, module, count: int) -> None:
    tree = module.reviewPanel.ui.lesionsTree
    assert host.wait_until(lambda: tree.topLevelItemCount == count, 30)


def add_click(host, module, scan, voxel, add: bool = True) -> None:
    ui = module.clicksPanel.ui
    button = ui.clickAddButton if add else ui.clickRemoveButton
    if not button.checked:
        button.click()
    mouse.click(host, place_of(scan, voxel))
    settle(host, module)


def outlines() -> int:
    return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")


class Asked:
    """What the engine is asked, which answers when the test says so."""

    def __init__(self, logic) -> None:
        self._logic, self.clicks = logic, []

    def refine(self, settings, callbacks, labels, clicks) -> None:
        self._callbacks, self._labels = callbacks, labels
        self.clicks.append(clicks[-1])
        self._logic._run = self

    def answer(self, *voxels) -> None:
        """Say that these voxels belong to the lesion, too."""
        after = self._labels.copy(order="F")
        for voxel in voxels:
            after[voxel] = 1
        self._logic._run = None
        self._callbacks.finished(Refined(self._labels, after, 0.1, ""))

    def refuse(self) -> None:
        """Say that it cannot be answered."""
        self._logic._run = None
        self._callbacks.failed(BadInputError("The click lies outside the scan."))

    def cancel(self) -> None:
        self._logic._run = None
