"""What slice views show: remembered, changed and put back."""

from __future__ import annotations

import slicer


def compositeNodes(scene) -> list:
    """One node per slice view, holding its layers."""
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)


def backgroundIsOneOf(scene, volumeNodes) -> bool:
    """Whether every slice view already has one of the volumes as background."""
    ids = {node.GetID() for node in volumeNodes}
    composites = compositeNodes(scene)
    return bool(composites) and all(item.GetBackgroundVolumeID() in ids for item in composites)


class BackgroundLayer:
    """Shows a scan below everything else, and gives the user's own back."""

    def __init__(self) -> None:
        self._shownId: str | None = None
        self._before: dict[str, str] = {}

    def show(self, volumeNode) -> None:
        """Show a volume as background of all slice views, fitted into them."""
        self._shownId = volumeNode.GetID()
        for composite in compositeNodes(volumeNode.GetScene()):
            before = composite.GetBackgroundVolumeID()
            if before is not None and before != self._shownId:
                self._before.setdefault(composite.GetID(), before)
        slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)

    def restore(self, scene) -> None:
        """Where the volume is still shown, show what was there before, if it is still there."""
        for composite in compositeNodes(scene):
            before = self._before.get(composite.GetID())
            ours = composite.GetBackgroundVolumeID() == self._shownId
            if ours and before is not None and scene.GetNodeByID(before) is not None:
                composite.SetBackgroundVolumeID(before)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._shownId = None
        self._before.clear()


class ForegroundLayer:
    """Shows one volume over the others and puts back what was there before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[str | None, float]] = {}

    @property
    def shown(self) -> bool:
        """Whether the layer is in use."""
        return bool(self._before)

    def show(self, volumeNode, opacity: float) -> None:
        """Show `volumeNode` as foreground of all slice views."""
        for composite in compositeNodes(volumeNode.GetScene()):
            state = composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()
            self._before.setdefault(composite.GetID(), state)
            composite.SetForegroundVolumeID(volumeNode.GetID())
            composite.SetForegroundOpacity(opacity)

    def adopt(self, scene, volumeNode) -> None:
        """Take a volume that is in the foreground already for the layer's own."""
        for composite in compositeNodes(scene):
            if composite.GetForegroundVolumeID() == volumeNode.GetID():
                self._before.setdefault(composite.GetID(), (None, 0.0))

    def setOpacity(self, scene, opacity: float) -> None:
        """Change how strongly the volume covers what is below it, 0 to 1."""
        for composite in compositeNodes(scene):
            if composite.GetID() in self._before:
                composite.SetForegroundOpacity(opacity)

    def restore(self, scene) -> None:
        """Put back the foreground that each view had; a volume deleted since is left out."""
        for composite in compositeNodes(scene):
            if composite.GetID() in self._before:
                volumeId, opacity = self._before[composite.GetID()]
                known = volumeId is not None and scene.GetNodeByID(volumeId) is not None
                composite.SetForegroundVolumeID(volumeId if known else None)
                composite.SetForegroundOpacity(opacity)
        self._before.clear()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._before.clear()


class SegmentOutlines:
    """Shows segments as mere outlines, so that they do not tint what lies below."""

    def __init__(self) -> None:
        self._filled: set[str] = set()

    def show(self, scene) -> None:
        """Take the fill from all segments that have one."""
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            if display.GetVisibility2DFill():
                self._filled.add(display.GetID())
                display.SetVisibility2DFill(False)

    def restore(self, scene) -> None:
        """Give the fill back to those that had it."""
        for nodeId in self._filled:
            display = scene.GetNodeByID(nodeId)
            if display is not None:
                display.SetVisibility2DFill(True)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._filled.clear()
