"""Watches how the classes of a segmentation are called and coloured."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.util import VTKObservationMixin

from factorizer_engine.protocol.models import Label
from FactorizerSegmentationLib.scene.segments import labelsOf


class ClassWatch(VTKObservationMixin):
    """Tells when the user gives a class another name or colour.

    Args:
        onChanged: Called at once.
    """

    def __init__(self, onChanged: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._onChanged = onChanged
        self._node: object = None
        self._known: tuple[Label, ...] = ()

    def watch(self, segmentationNode) -> None:
        """Watch this segmentation from now on, or none."""
        self.stop()
        if segmentationNode is not None:
            self._node, self._known = segmentationNode, labelsOf(segmentationNode)
            event = slicer.vtkSegmentation.SegmentModified
            self.addObserver(segmentationNode.GetSegmentation(), event, self._look)

    def stop(self) -> None:
        """Watch no more."""
        self.removeObservers()
        self._node = None

    def _look(self, caller, event) -> None:
        labels = labelsOf(self._node)
        if labels != self._known:  # voxels that have changed do not matter
            self._known = labels
            self._onChanged()
