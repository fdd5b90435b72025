"""Steps of the user that can be undone and redone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from FactorizerSegmentationLib.scene.masses import referenceVolumeOf


@dataclass(frozen=True)
class Step:
    """One change in the scene.

    Attributes:
        title: What was done, for tooltips.
        undo, redo: Take it back, and do it again.
        nodes: Without any of them the step means nothing any more.
        dimensions: Of the scan of its segmentation, on whose voxels it acts; None without one.
    """

    title: str
    undo: Callable[[], None]
    redo: Callable[[], None]
    nodes: tuple[Any, ...]
    dimensions: tuple[int, int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", _dimensionsOf(self.segmentationNode))

    @property
    def segmentationNode(self):
        """The segmentation that it changes, or None."""
        return next((it for it in self.nodes if it.IsA("vtkMRMLSegmentationNode")), None)


class History:
    """What was done, and what was taken back."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def next(self) -> Step | None:
        """The step that `redo` would do again."""
        return self._undone[-1] if self._undone else None

    @property
    def last(self) -> Step | None:
        """The step that `undo` would take back."""
        return self._done[-1] if self._done else None

    def add(self, step: Step) -> None:
        """Remember what was just done; what had been taken back before is gone."""
        self._done.append(step)
        self._undone.clear()

    def undo(self) -> Step | None:
        """Take back the last step, if there is one, and return it."""
        self.forgetImpossible()
        if not self._done:
            return None
        step = self._done.pop()
        step.undo()
        self._undone.append(step)
        return step

    def redo(self) -> Step | None:
        """Do the step again that was taken back last, if there is one, and return it."""
        self.forgetImpossible()
        if not self._undone:
            return None
        step = self._undone.pop()
        step.redo()
        self._done.append(step)
        return step

    def forgetImpossible(self) -> None:
        """Drop steps whose nodes or scan have gone, or whose scan has other voxels by now."""
        for steps in (self._done, self._undone):
            steps[:] = filter(_isPossible, steps)

    def clear(self) -> None:
        """Drop everything, as when the scene is closed."""
        self._done.clear()
        self._undone.clear()


def _isPossible(step: Step) -> bool:
    if any(node.GetScene() is None for node in step.nodes):
        return False
    node = step.segmentationNode
    return node is None or _dimensionsOf(node) == step.dimensions is not None


def _dimensionsOf(segmentationNode) -> tuple[int, int, int] | None:
    scan = referenceVolumeOf(segmentationNode) if segmentationNode is not None else None
    image = scan.GetImageData() if scan is not None else None
    return image.GetDimensions() if image is not None else None
