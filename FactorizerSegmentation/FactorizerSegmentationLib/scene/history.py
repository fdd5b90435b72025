"""Steps of the user that can be undone and redone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from FactorizerSegmentationLib.scene.masses import referenceVolumeOf


@dataclass(frozen=True)
class Step:
    """One change in the scene.

    Attributes:
        title: What was done, for tooltips.
        undo, redo: Take it back, and do it again.
        nodes: Without any of them the step means nothing any more.
    """

    title: str
    undo: Callable[[], None]
    redo: Callable[[], None]
    nodes: tuple[Any, ...]

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
        if not self._done:
            return None
        step = self._done.pop()
        step.undo()
        self._undone.append(step)
        return step

    def redo(self) -> Step | None:
        """Do the step again that was taken back last, if there is one, and return it."""
        if not self._undone:
            return None
        step = self._undone.pop()
        step.redo()
        self._done.append(step)
        return step

    def forgetRemoved(self) -> None:
        """Drop steps whose nodes have left the scene, or whose segmentation has lost its scan."""
        for steps in (self._done, self._undone):
            steps[:] = filter(_isPossible, steps)

    def clear(self) -> None:
        """Drop everything, as when the scene is closed."""
        self._done.clear()
        self._undone.clear()


def _isPossible(step: Step) -> bool:
    node, there = step.segmentationNode, all(it.GetScene() is not None for it in step.nodes)
    return there and (node is None or referenceVolumeOf(node) is not None)
