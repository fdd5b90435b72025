"""Two studies in two rows of slice views that move together; afterwards all is as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import slicer

LAYOUT_ID = 5711
"""Of our own; Slicer's are below 1000."""
ORIENTATIONS = ("Axial", "Sagittal", "Coronal")
EARLIER_VIEWS = tuple(f"Earlier{name}" for name in ORIENTATIONS)
LAST_VIEWS = ("Red", "Yellow", "Green")
_COLORS = ("#F34A33", "#EDD54C", "#6EB04B")
_EARLIER_COLOR = "#9A9A9A"


@dataclass(frozen=True)
class ShownStudy:
    """What a row shows.

    Attributes:
        volumeNode: The scan.
        segmentationNode: Its segments, which are drawn in this row only.
    """

    volumeNode: Any
    segmentationNode: Any


@dataclass
class _Before:
    """How things were: layout, layers and links of views; where segments were drawn, and if."""

    layout: int
    layers: dict[str, tuple[str | None, int, int]] = field(default_factory=dict)
    drawnIn: dict[str, tuple[list[str], int]] = field(default_factory=dict)


class SideBySide:
    """The earlier study above the last one."""

    def __init__(self) -> None:
        self._before: _Before | None = None

    @property
    def shown(self) -> bool:
        """Whether the two rows are shown."""
        return self._before is not None

    def show(self, earlier: ShownStudy, last: ShownStudy) -> None:
        """Show both studies."""
        self.hide(last.volumeNode.GetScene())
        manager = slicer.app.layoutManager()
        self._before = _Before(manager.layout)
        layoutNode = manager.layoutLogic().GetLayoutNode()
        if not layoutNode.IsLayoutDescription(LAYOUT_ID):
            layoutNode.AddLayoutDescription(LAYOUT_ID, _description())
        manager.setLayout(LAYOUT_ID)
        scene = last.volumeNode.GetScene()
        threeD = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLViewNode", scene)]
        for study, views, more in ((earlier, EARLIER_VIEWS, []), (last, LAST_VIEWS, threeD)):
            sliceIds = [self._fill(manager.sliceWidget(name), study) for name in views]
            self._drawIn(study.segmentationNode.GetDisplayNode(), [*sliceIds, *more])
        self._hideOthers(scene)
        manager.resetSliceViews()

    def hide(self, scene) -> None:
        """Put back what was there before."""
        before, self._before = self._before, None
        if before is None:
            return
        for nodeId, (volumeId, linked, hot) in before.layers.items():
            composite = scene.GetNodeByID(nodeId)
            if composite is not None:
                composite.SetLinkedControl(linked)
                composite.SetHotLinkedControl(hot)
                composite.SetBackgroundVolumeID(volumeId)
        for nodeId, (viewIds, visible) in before.drawnIn.items():
            display = scene.GetNodeByID(nodeId)
            if display is not None:
                _drawOnlyIn(display, viewIds)
                display.SetVisibility(visible)
        slicer.app.layoutManager().setLayout(before.layout)

    def forget(self) -> None:
        """Drop all state, as when the scene was closed."""
        before, self._before = self._before, None
        if before is not None:
            slicer.app.layoutManager().setLayout(before.layout)

    def _fill(self, sliceWidget, study: ShownStudy) -> str:
        """Show a scan in a view that moves with the others; returns the id of its slice node."""
        composite = sliceWidget.mrmlSliceCompositeNode()
        assert self._before is not None
        self._before.layers[composite.GetID()] = (
            composite.GetBackgroundVolumeID(),
            composite.GetLinkedControl(),
            composite.GetHotLinkedControl(),
        )
        composite.SetBackgroundVolumeID(study.volumeNode.GetID())
        composite.SetLinkedControl(1)
        composite.SetHotLinkedControl(1)
        return sliceWidget.mrmlSliceNode().GetID()

    def _drawIn(self, displayNode, viewIds: Sequence[str]) -> None:
        self._remember(displayNode)
        _drawOnlyIn(displayNode, viewIds)
        displayNode.SetVisibility(True)

    def _hideOthers(self, scene) -> None:
        """What was drawn of further studies would lie over both rows."""
        assert self._before is not None
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene):
            if node.GetID() not in self._before.drawnIn:
                self._remember(node)
                node.SetVisibility(False)

    def _remember(self, displayNode) -> None:
        """Note where segments are drawn, and if."""
        assert self._before is not None
        count = displayNode.GetNumberOfViewNodeIDs()
        before = [displayNode.GetNthViewNodeID(number) for number in range(count)]
        self._before.drawnIn[displayNode.GetID()] = (before, displayNode.GetVisibility())


def _drawOnlyIn(displayNode, viewIds: Sequence[str]) -> None:
    """Draw in some views only; without any, in all."""
    displayNode.RemoveAllViewNodeIDs()
    for viewId in viewIds:
        displayNode.AddViewNodeID(viewId)


def _description() -> str:
    """The layout as Slicer's layout manager reads it."""
    earlier = zip(EARLIER_VIEWS, ORIENTATIONS, (_EARLIER_COLOR,) * 3, strict=True)
    last = zip(LAST_VIEWS, ORIENTATIONS, _COLORS, strict=True)
    rows = ("".join(_view(*view) for view in row) for row in (earlier, last))
    items = (f'<item><layout type="horizontal">{row}</layout></item>' for row in rows)
    return f'<layout type="vertical">{"".join(items)}</layout>'


def _view(tag: str, orientation: str, color: str) -> str:
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{tag[0]}</property>'
        f'<property name="viewcolor" action="default">{color}</property></view></item>'
    )
