"""What slice views show: remembered, changed and put back."""

from __future__ import annotations

import slicer

_ADDITIONAL = 3
"""Number of the first layer above background, foreground and labels."""
_FILLED = "FactorizerSegmentation.Filled"
_OPAQUE = "FactorizerSegmentation.Opacity3D"
_CLEAR = 0.25


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
    """Shows one volume over the others and puts back what was there before.

    What the user has put there meanwhile stays, and is what comes back later.
    """

    def __init__(self) -> None:
        self._shownId: str | None = None
        self._before: dict[str, tuple[str | None, float]] = {}

    @property
    def shown(self) -> bool:
        """Whether the layer is in use."""
        return bool(self._before)

    def show(self, volumeNode, opacity: float) -> None:
        """Show `volumeNode` as foreground of all slice views."""
        for composite in compositeNodes(volumeNode.GetScene()):
            state = composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()
            if composite.GetID() not in self._before or state[0] not in (None, self._shownId):
                self._before[composite.GetID()] = state
            composite.SetForegroundVolumeID(volumeNode.GetID())
            composite.SetForegroundOpacity(opacity)
        self._shownId = volumeNode.GetID()

    def adopt(self, scene, volumeNode) -> bool:
        """Take a volume that is in the foreground already for the layer's own, if it is there."""
        nodes = compositeNodes(scene)
        showing = [node for node in nodes if node.GetForegroundVolumeID() == volumeNode.GetID()]
        for composite in showing:
            self._shownId = volumeNode.GetID()
            self._before.setdefault(composite.GetID(), (None, 0.0))
        return bool(showing)

    def setOpacity(self, scene, opacity: float) -> None:
        """Change how strongly the volume covers what is below it, 0 to 1."""
        for composite in compositeNodes(scene):
            if composite.GetForegroundVolumeID() == self._shownId and self._before:
                composite.SetForegroundOpacity(opacity)

    def restore(self, scene) -> None:
        """Put back the foreground that each view had; a volume deleted since is left out."""
        for composite in compositeNodes(scene):
            shownId = composite.GetForegroundVolumeID()
            if composite.GetID() in self._before and shownId in (None, self._shownId):
                volumeId, opacity = self._before[composite.GetID()]
                known = volumeId is not None and scene.GetNodeByID(volumeId) is not None
                composite.SetForegroundVolumeID(volumeId if known else None)
                composite.SetForegroundOpacity(opacity)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._shownId = None
        self._before.clear()


class AdditionalLayer:
    """Shows one more volume, above the foreground and the labels, where the application can."""

    def __init__(self) -> None:
        self._shownId: str | None = None

    def show(self, volumeNode, opacity: float) -> None:
        """Show `volumeNode` in all slice views."""
        self._shownId = volumeNode.GetID()
        for composite in _layered(volumeNode.GetScene()):
            composite.SetNthLayerVolumeID(_ADDITIONAL, self._shownId)
            composite.SetNthLayerOpacity(_ADDITIONAL, opacity)

    def adopt(self, scene, volumeNode) -> bool:
        """Take a volume that is in the layer already for its own, if it is there."""
        shown = {node.GetNthLayerVolumeID(_ADDITIONAL) for node in _layered(scene)}
        if volumeNode.GetID() not in shown:
            return False
        self._shownId = volumeNode.GetID()
        return True

    def setOpacity(self, scene, opacity: float) -> None:
        """Change how strongly the volume covers what is below it, 0 to 1."""
        for composite in self._own(scene):
            composite.SetNthLayerOpacity(_ADDITIONAL, opacity)

    def hide(self, scene) -> None:
        """Take it away."""
        for composite in self._own(scene):
            composite.SetNthLayerVolumeID(_ADDITIONAL, None)
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._shownId = None

    def _own(self, scene) -> list:
        if self._shownId is None:
            return []
        nodes = _layered(scene)
        return [node for node in nodes if node.GetNthLayerVolumeID(_ADDITIONAL) == self._shownId]


def canShowTwo(scene) -> bool:
    """Whether slice views have layers above the foreground; those of old applications do not."""
    return bool(_layered(scene))


def dropFromViews(scene, volumeNode) -> None:
    """Take a volume out of the layers above the background in all slice views."""
    for composite in compositeNodes(scene):
        if composite.GetForegroundVolumeID() == volumeNode.GetID():
            composite.SetForegroundVolumeID(None)
    for composite in _layered(scene):
        if composite.GetNthLayerVolumeID(_ADDITIONAL) == volumeNode.GetID():
            composite.SetNthLayerVolumeID(_ADDITIONAL, None)


def _layered(scene) -> list:
    return [node for node in compositeNodes(scene) if hasattr(node, "SetNthLayerVolumeID")]


class SegmentOutlines:
    """Shows segments as mere outlines, so that they do not tint what lies below.

    Which had a fill is written down at their displays, so that a scene that was saved meanwhile
    gives it back, too.
    """

    def show(self, scene) -> None:
        """Take the fill from all segments that have one."""
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            if display.GetVisibility2DFill():
                display.SetAttribute(_FILLED, "1")
                display.SetVisibility2DFill(False)

    def restore(self, scene) -> None:
        """Give the fill back to those that had it."""
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            if display.GetAttribute(_FILLED) is not None:
                display.RemoveAttribute(_FILLED)
                display.SetVisibility2DFill(True)


class ClearSurfaces:
    """Lets one see through the surfaces of segments in 3D.

    How they were is written down at their displays, as by `SegmentOutlines`.
    """

    def show(self, scene) -> None:
        """Make those clear that are not."""
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            if display.GetAttribute(_OPAQUE) is None and display.GetOpacity3D() > _CLEAR:
                display.SetAttribute(_OPAQUE, str(display.GetOpacity3D()))
                display.SetOpacity3D(_CLEAR)

    def restore(self, scene) -> None:
        """Give them their opacity back, where nobody has changed it since."""
        for display in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            before = display.GetAttribute(_OPAQUE)
            if before is not None:
                display.RemoveAttribute(_OPAQUE)
                if display.GetOpacity3D() == _CLEAR:
                    display.SetOpacity3D(float(before))
