"""All nodes of a result, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Additions:
    """What is added to a scene, in steps between which the window may act.

    Args:
        scene: The scene.
    """

    def __init__(self, scene) -> None:
        self._scene = scene
        self._ids: list[str] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        """What the block adds is ours; the window must not act in it."""
        before = set(self._allIds())
        try:
            yield
        finally:
            self._ids += [nodeId for nodeId in self._allIds() if nodeId not in before]

    def takeBack(self) -> None:
        """Remove all that was added and is still there."""
        for nodeId in reversed(self._ids):
            node = self._scene.GetNodeByID(nodeId)
            if node is not None:  # it may have gone with another one
                self._scene.RemoveNode(node)
        self._ids.clear()

    def _allIds(self) -> list[str]:
        scene = self._scene
        return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


@contextmanager
def takenBackIfItFails(scene) -> Iterator[None]:
    """Remove what the block has added to the scene, if the block fails; the window must not act."""
    additions = Additions(scene)
    try:
        with additions.step():
            yield
    except BaseException:
        additions.takeBack()
        raise
