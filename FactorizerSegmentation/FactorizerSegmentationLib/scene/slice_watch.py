"""Says when a slice view shows another slice, or another scan."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk
from slicer.util import VTKObservationMixin

_FIRST_VIEW = "Red"


def watchedSlice(scene):
    """The node of the first slice view, or None without views."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode", scene)
    named = [node for node in nodes if node.GetLayoutName() == _FIRST_VIEW]
    return next(iter(named or nodes), None)


def watchedScan(scene):
    """The volume at the bottom of that view, or None."""
    sliceNode = watchedSlice(scene)
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        if sliceNode is not None and composite.GetLayoutName() == sliceNode.GetLayoutName():
            volumeId = composite.GetBackgroundVolumeID()
            return scene.GetNodeByID(volumeId) if volumeId else None
    return None


class SliceWatch(VTKObservationMixin):
    """Watches the first slice view.

    Args:
        onChanged: Called when its slice lies elsewhere, or a scan of it was exchanged.
    """

    def __init__(self, onChanged: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._onChanged = onChanged
        self._seen: object = None

    def start(self, scene) -> None:
        """Watch from now on."""
        self.removeObservers()
        sliceNode = watchedSlice(scene)
        if sliceNode is None:
            return
        self._seen = self._state(scene)
        self.addObserver(sliceNode, vtk.vtkCommand.ModifiedEvent, self._look)
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
            if composite.GetLayoutName() == sliceNode.GetLayoutName():
                self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._look)

    def stop(self) -> None:
        """Watch no more."""
        self.removeObservers()

    def _look(self, caller, event) -> None:
        state = self._state(caller.GetScene()) if caller.GetScene() is not None else None
        if state != self._seen:  # zooming and panning do not matter
            self._seen = state
            self._onChanged()

    def _state(self, scene) -> object:
        sliceNode, scan = watchedSlice(scene), watchedScan(scene)
        if sliceNode is None:
            return None
        matrix = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        depth = float(matrix[:3, 3] @ matrix[:3, 2])
        return matrix[:3, :3].tobytes(), depth, scan.GetID() if scan is not None else ""
